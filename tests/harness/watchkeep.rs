//! The daemon under test: the product's own entry point, built where the stories can find it.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main()
}
