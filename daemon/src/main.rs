//! `watchkeep`: watches, remembers, tells, keeps, acts and explains.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::main()
}
