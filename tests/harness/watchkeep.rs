//! The daemon under test: the product's own entry point, built where the stories can find it.
//!
//! `WATCHKEEP_CONTROL=acknowledge-before-commit` makes it a negative control: a daemon that lies. `WATCHKEEP_CLOCK=FILE` gives
//! it clocks that a story turns, see [`harness::clock`]. The product knows no such variables.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use daemon::Setup;
use harness::clock::Turned;
use store::{Acknowledge, Options};

#[expect(
    clippy::disallowed_methods,
    reason = "switches of the test's own, not settings of the product"
)]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some("run") {
        return daemon::main();
    }
    let file = arguments.nth(1);
    if std::env::var("WATCHKEEP_CONTROL").as_deref() == Ok("acknowledge-before-commit") {
        // It calls inputs recorded before they are.
        let lie = |setup: &mut Setup| {
            setup.options = Options {
                acknowledge: Acknowledge::BeforeCommit,
                ..Options::default()
            };
        };
        return run(file, lie);
    }
    match std::env::var("WATCHKEEP_CLOCK") {
        Ok(clock) => run(file, |setup| {
            setup.clocks = Arc::new(Turned::new(Arc::clone(&setup.clocks), clock.into()));
        }),
        Err(_) => daemon::main(),
    }
}

/// `run --config FILE` with something changed. It ends by being killed.
#[expect(clippy::expect_used, reason = "a helper of tests fails the test it serves")]
fn run(file: Option<String>, change: impl FnOnce(&mut Setup)) -> ExitCode {
    let source = config::Source::read(Path::new(&file.expect("run --config FILE"))).expect("read the configuration");
    let mut setup = Setup::new(source);
    change(&mut setup);
    let runtime = tokio::runtime::Runtime::new().expect("start the runtime");
    runtime.block_on(async {
        let _running = daemon::start(setup).await.expect("start the daemon");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}
