//! The daemon under test: the product's own entry point, built where the stories can find it.
//!
//! `WATCHKEEP_CONTROL=acknowledge-before-commit` makes it a negative control: a daemon that lies. The product knows no such
//! variable.

use std::path::Path;
use std::process::ExitCode;

use daemon::Setup;
use store::{Acknowledge, Options};

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test's own, not a setting of the product"
)]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (
        std::env::var("WATCHKEEP_CONTROL").as_deref(),
        arguments.next().as_deref(),
    ) {
        (Ok("acknowledge-before-commit"), Some("run")) => lie(arguments.nth(1)),
        _ => daemon::main(),
    }
}

/// `run --config FILE`, calling inputs recorded before they are. It ends by being killed.
#[expect(clippy::expect_used, reason = "a helper of tests fails the test it serves")]
fn lie(file: Option<String>) -> ExitCode {
    let source = config::Source::read(Path::new(&file.expect("run --config FILE"))).expect("read the configuration");
    let mut setup = Setup::new(source);
    setup.options = Options {
        acknowledge: Acknowledge::BeforeCommit,
        ..Options::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("start the runtime");
    runtime.block_on(async {
        let _running = daemon::start(setup).await.expect("start the daemon");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}
