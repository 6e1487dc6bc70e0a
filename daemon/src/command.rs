//! The command line: questions and orders go over the socket, answers come out as pages or as they are.

mod asking;
pub(crate) mod failure;
mod local;
mod output;
mod page;
mod recording;
mod show;
mod source;
pub(crate) mod text;
mod waiting;

use std::process::ExitCode;

use self::{failure::Failure, output::Output, source::Place};
use crate::cli::{ActionsCommand, AlertsCommand, BackupCommand, Cli, Command, DeployCommand, NotifyCommand};

/// How a command came out that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Well,
    /// The answer is no, or something is wrong.
    NotWell,
}

impl From<bool> for Verdict {
    fn from(well: bool) -> Self {
        if well { Self::Well } else { Self::NotWell }
    }
}

/// Does what was typed.
pub(crate) fn dispatch(cli: Cli) -> ExitCode {
    let output = Output::new();
    let Cli {
        config,
        socket,
        command,
    } = cli;
    let place = Place { config, socket };
    let done = match command {
        None | Some(Command::Run) => return crate::run::run(place.config.as_deref()),
        Some(Command::Child { directory }) => return crate::children::inside::main(&directory),
        Some(command) => execute(command, &place, &output),
    };
    match done {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::NotWell) => ExitCode::from(failure::NO),
        Err(failure) => output.failed(&failure),
    }
}

fn execute(command: Command, place: &Place, output: &Output) -> Result<Verdict, Failure> {
    match command {
        Command::Run | Command::Child { .. } => Ok(Verdict::Well),
        Command::Init(arguments) => local::init(&arguments, output),
        Command::Check(arguments) => local::check(&arguments, place, output),
        Command::Restore(arguments) => local::restore(&arguments, place, output),
        Command::Alerts(arguments) => match arguments.command {
            Some(AlertsCommand::Test(test)) => local::alerts_test(&test, place, output),
            None => asking::alerts(arguments.all, arguments.asking, place, output),
        },
        Command::Status(asking) => asking::status(asking, place, output),
        Command::Timeline(arguments) => asking::timeline(&arguments, place, output),
        Command::Logs(arguments) => asking::logs(&arguments, place, output),
        Command::Trace(arguments) => asking::trace(&arguments, place, output),
        Command::Latency(arguments) => asking::latency(&arguments, place, output),
        Command::Why(arguments) => asking::why(&arguments, place, output),
        Command::Ack(arguments) => recording::ack(&arguments, place, output),
        Command::Silence(arguments) => recording::silence(&arguments, place, output),
        Command::Deploy(DeployCommand::Record(arguments)) => recording::deploy(&arguments, place, output),
        Command::Backup(BackupCommand::List(asking)) => asking::backups(asking, place, output),
        Command::Backup(BackupCommand::Run(arguments)) => waiting::backup(&arguments, "run", place, output),
        Command::Backup(BackupCommand::Prove(arguments)) => waiting::backup(&arguments, "prove", place, output),
        Command::Backup(BackupCommand::Verify(arguments)) => waiting::verify(&arguments, place, output),
        Command::Backup(BackupCommand::RecoveryKey(arguments)) => local::recovery_key(&arguments, place, output),
        Command::Actions(arguments) => match arguments.command {
            None => asking::actions(arguments.asking, place, output),
            Some(ActionsCommand::Stop(switch)) => recording::switch(&switch, true, place, output),
            Some(ActionsCommand::Allow(switch)) => recording::switch(&switch, false, place, output),
        },
        Command::Jobs(asking) => asking::jobs(asking, place, output),
        Command::Chain(asking) => asking::chain(asking, place, output),
        Command::Notify(NotifyCommand::Test(arguments)) => waiting::notify_test(&arguments, place, output),
    }
}
