//! The acts, one file a kind.

pub mod command;

use std::time::Duration;

use outbound::{Context, Finding, child::ChildTask};

/// A kind of act.
pub trait ActKind: Send + Sync {
    /// What the child runs.
    fn task(&self) -> ChildTask;

    /// What is asked after a crash: a task whose exit code 0 says *done* and 1 *not done*; `None` when nothing can be asked.
    fn observe(&self) -> Option<ChildTask>;

    /// How long it may take.
    fn deadline(&self) -> Duration;

    /// What is run, for a person.
    fn describe(&self) -> String;

    /// What is wrong with its settings, each with its place in the file.
    fn mistakes(&self) -> Vec<config::Mistake>;

    /// Whether it could run here; starts nothing.
    fn preflight(&self, context: &Context) -> Vec<Finding>;
}
