//! What can be typed: commands, their options, and examples for each.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  the answer is no, or something is wrong: an alert fires, a backup failed
  2  the command was not understood
  3  no daemon could be reached
  4  you may not do this
  5  the daemon could not do it

Examples:
  watchkeep                              watch, with ./watchkeep.toml or the defaults
  watchkeep status                       what is wrong just now
  watchkeep why 5f3a9c1e                 why an alert fired and what came of it
  watchkeep deploy record shop 1.4.2     tell what went live";

/// Version of this binary, and the commit it was built from when that is known.
const VERSION: &str = env!("WATCHKEEP_VERSION");

/// Watches your services, remembers what happened, tells whom it concerns, proves backups, and acts within limits.
#[derive(Debug, Parser)]
#[command(name = "watchkeep", version = VERSION, after_help = AFTER, max_term_width = 80, arg_required_else_help = false)]
pub struct Cli {
    /// Configuration [default: ./watchkeep.toml, else /etc/watchkeep/watchkeep.toml, else the defaults]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Socket of the daemon [default: as the configuration says]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    #[command(after_help = "Examples:\n  watchkeep run\n  watchkeep run --config /etc/watchkeep/watchkeep.toml")]
    Run,
    /// Write a commented configuration to begin with
    #[command(after_help = "Examples:\n  watchkeep init\n  watchkeep init --to /etc/watchkeep/watchkeep.toml")]
    Init(InitArgs),
    /// Check the configuration, and what it reaches for
    #[command(
        after_help = "Examples:\n  watchkeep check                        also tries mail servers, targets, repositories\n  watchkeep check --offline              reads the configuration only\n  watchkeep check --config new.toml"
    )]
    Check(CheckArgs),
    /// What is watched and how it is; exits 1 when something is wrong
    #[command(after_help = "Examples:\n  watchkeep status\n  watchkeep status --json | jq .incidents")]
    Status(Asking),
    /// Alerts that fire; exits 1 when one does
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  watchkeep alerts\n  watchkeep alerts --all                 also those that ended, and quiet rules\n  watchkeep alerts test --since 7d --rules new.toml"
    )]
    Alerts(AlertsArgs),
    /// Take an incident: reminders stop
    #[command(
        after_help = "Examples:\n  watchkeep ack 5f3a9c1e\n  watchkeep ack shop-errors --by alice --note \"rolling back\""
    )]
    Ack(AckArgs),
    /// Silence a rule, a service or everything for a while, now or ahead of time
    #[command(
        after_help = "Examples:\n  watchkeep silence shop-errors --for 2h\n  watchkeep silence --service shop --for 30m --reason \"database upgrade\"\n  watchkeep silence --all --for 1h --from 2026-12-01T02:00:00Z\n  watchkeep silence --list\n  watchkeep silence --lift 8c1d22aa"
    )]
    Silence(SilenceArgs),
    /// What happened: deployments, alerts, messages, backups and actions on one line of time
    #[command(
        after_help = "Examples:\n  watchkeep timeline --since 1h\n  watchkeep timeline --service shop --kind deployment_recorded,alert_phase\n  watchkeep timeline --since 2026-11-21T03:00:00Z --until 10m"
    )]
    Timeline(TimelineArgs),
    /// Log records
    #[command(
        after_help = "Examples:\n  watchkeep logs --service shop --severity error --since 1h\n  watchkeep logs --contains \"card declined\"\n  watchkeep logs --trace 4bf92f3577b34da6a3ce929d0e0e4736"
    )]
    Logs(LogsArgs),
    /// One request through all services, as a tree with its logs
    #[command(
        after_help = "Examples:\n  watchkeep trace 4bf92f3577b34da6a3ce929d0e0e4736\n  watchkeep trace 4bf92f3577b34da6a3ce929d0e0e4736 --lines 2000"
    )]
    Trace(TraceArgs),
    /// Latency and error rate of a service, by release
    #[command(after_help = "Examples:\n  watchkeep latency shop\n  watchkeep latency shop --since 6h")]
    Latency(LatencyArgs),
    /// Why: an incident, a run of an action, a copy or a message, on one screen
    #[command(
        after_help = "Examples:\n  watchkeep why 5f3a9c1e                 an id, or its first characters\n  watchkeep why shop-errors              the open incident of a rule"
    )]
    Why(WhyArgs),
    /// Record what went live
    #[command(subcommand)]
    Deploy(DeployCommand),
    /// Make, prove and list backups
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Restore a copy; needs nothing but the repository and its password
    #[command(
        after_help = "Examples:\n  watchkeep restore --repository r2 --to /tmp/restored\n  watchkeep restore --repository r2 --backup orders --to /tmp/restored\n  watchkeep restore --repository /mnt/backups --password-file key --to out\n  watchkeep restore --repository r2 --snapshot 1f0c9a7e --only srv --to out"
    )]
    Restore(RestoreArgs),
    /// Actions: what they did, and how to stop and allow them
    #[command(
        after_help = "Examples:\n  watchkeep actions\n  watchkeep actions stop                 no action begins any more\n  watchkeep actions allow                they may again\n  watchkeep actions allow shop-rollback   release one that is held"
    )]
    Actions(ActionsArgs),
    /// Messages
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Messages, backups and acts that wait, and why; exits 1 when one of them failed before
    #[command(after_help = "Examples:\n  watchkeep jobs")]
    Jobs(Asking),
    /// Verify the journal: every fact against the chain of digests; exits 1 when it is broken
    #[command(after_help = "Examples:\n  watchkeep chain\n  watchkeep chain --json | jq -r .link")]
    Chain(Asking),
    /// The helper process of the daemon.
    #[command(hide = true)]
    Child {
        /// Its run directory.
        directory: PathBuf,
    },
}

/// What every asking command takes.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Asking {
    /// Print the answer of the API as JSON, unchanged
    #[arg(long)]
    pub json: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where to write [default: ./watchkeep.toml]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Also write the systemd unit beside it
    #[arg(long)]
    pub systemd: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Read the configuration only; try nothing outside
    #[arg(long)]
    pub offline: bool,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Also alerts that ended, and rules that are quiet
    #[arg(long)]
    pub all: bool,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
    /// What to do with rules.
    #[command(subcommand)]
    pub command: Option<AlertsCommand>,
}

/// `alerts …`.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// When would these rules have fired?
    #[command(
        after_help = "Examples:\n  watchkeep alerts test --since 7d\n  watchkeep alerts test --since 7d --rules new.toml"
    )]
    Test(AlertsTestArgs),
}

/// `alerts test`.
#[derive(Debug, Args)]
pub struct AlertsTestArgs {
    /// From when: a time (2026-11-21T03:00:00Z) or how long ago (7d)
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: String,
    /// A whole configuration with the rules to try [default: the one in force]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `ack`.
#[derive(Debug, Args)]
pub struct AckArgs {
    /// The incident: its id, the first characters of it, or its rule
    #[arg(value_name = "ID")]
    pub incident: String,
    /// Who takes it [default: your user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// What to tell the others
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `silence`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["rule", "service", "all", "list", "lift"]))]
pub struct SilenceArgs {
    /// Only this rule
    #[arg(value_name = "RULE")]
    pub rule: Option<String>,
    /// Only what is about this service
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["rule", "service"])]
    pub all: bool,
    /// How long: 30m, 2h
    #[arg(long = "for", value_name = "DURATION", required_unless_present_any = ["list", "lift"])]
    pub lasting: Option<String>,
    /// When it begins: a time such as 2026-12-01T02:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who sets it [default: your user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// List silences
    #[arg(long, conflicts_with_all = ["rule", "service", "all", "lasting", "from", "reason", "by", "lift"])]
    pub list: bool,
    /// Lift a silence: its id, or the first characters of it
    #[arg(long, value_name = "ID", conflicts_with_all = ["rule", "service", "all", "lasting", "from", "reason", "by"])]
    pub lift: Option<String>,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// A stretch of time.
#[derive(Debug, Default, Args)]
pub struct Stretch {
    /// From when: a time (2026-11-21T03:00:00Z) or how long ago (1h)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until when, likewise
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `timeline`.
#[derive(Debug, Args)]
pub struct TimelineArgs {
    /// Only what is about this service
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only these kinds of facts, separated by commas
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only what belongs to this trace
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
    /// See [`Stretch`].
    #[command(flatten)]
    pub stretch: Stretch,
    /// How many facts
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u16,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Only of this service
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only of this severity or above: trace, debug, info, warn, error, fatal
    #[arg(long, value_name = "WORD")]
    pub severity: Option<String>,
    /// Only with this text in it
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// Only of this trace
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
    /// See [`Stretch`].
    #[command(flatten)]
    pub stretch: Stretch,
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u16,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The trace: 32 hexadecimal digits
    #[arg(value_name = "ID")]
    pub trace: String,
    /// Most lines to show
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub lines: usize,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `latency`.
#[derive(Debug, Args)]
pub struct LatencyArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// See [`Stretch`].
    #[command(flatten)]
    pub stretch: Stretch,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// An id, the first characters of one, or a rule that fires
    #[arg(value_name = "ID")]
    pub id: String,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `deploy …`.
#[derive(Debug, Subcommand)]
pub enum DeployCommand {
    /// Record that a release of a service went live
    #[command(
        after_help = "Examples:\n  watchkeep deploy record shop 1.4.2\n  watchkeep deploy record shop 1.4.2 --migrations additive --by ci\n  watchkeep deploy record shop 1.4.2 --environment staging --began 5m"
    )]
    Record(DeployArgs),
}

/// What a release does to stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MigrationsArg {
    /// Nothing
    None,
    /// Only adds: the release before still runs on it
    Additive,
    /// The release before does not run on it any more
    Destructive,
}

/// `deploy record`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// What is live now
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// Where [default: the daemon's own environment]
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// When the cut-over began: a time, or how long ago (5m) [default: now]
    #[arg(long, value_name = "TIME")]
    pub began: Option<String>,
    /// What it does to stored data; unsaid, no rollback goes over it without a person
    #[arg(long, value_name = "WORD")]
    pub migrations: Option<MigrationsArg>,
    /// It has been verified already
    #[arg(long)]
    pub verified: bool,
    /// Who or what deployed it [default: your user]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// A note: a commit's subject, a link
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Idempotency key: the same key is recorded once
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make a copy now, read it back, prove it
    #[command(after_help = "Examples:\n  watchkeep backup run nightly\n  watchkeep backup run nightly --no-wait")]
    Run(BackupArgs),
    /// Prove the newest copy again: read it back, restore it, compare
    #[command(after_help = "Examples:\n  watchkeep backup prove nightly")]
    Prove(BackupArgs),
    /// Read back the newest copy; a proof begins with it, so this asks for a proof
    #[command(
        after_help = "Examples:\n  watchkeep backup verify                every backup\n  watchkeep backup verify nightly"
    )]
    Verify(BackupVerifyArgs),
    /// Backups and their copies; exits 1 when one failed or is not proved in time
    #[command(after_help = "Examples:\n  watchkeep backup list")]
    List(Asking),
    /// Make a second password for a repository, to keep on paper; shown once
    #[command(
        after_help = "Examples:\n  watchkeep backup recovery-key r2\n  watchkeep backup recovery-key /mnt/backups --password-file key"
    )]
    RecoveryKey(RecoveryKeyArgs),
}

/// Whether to wait for the end.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Waiting {
    /// Wait for its end and show each step (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Only ask for it
    #[arg(long, overrides_with = "wait")]
    pub no_wait: bool,
}

/// `backup run` and `prove`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The backup
    #[arg(value_name = "NAME")]
    pub name: String,
    /// See [`Waiting`].
    #[command(flatten)]
    pub waiting: Waiting,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `backup verify`.
#[derive(Debug, Args)]
pub struct BackupVerifyArgs {
    /// The backup [default: all]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// See [`Waiting`].
    #[command(flatten)]
    pub waiting: Waiting,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `backup recovery-key`.
#[derive(Debug, Args)]
pub struct RecoveryKeyArgs {
    /// The repository: a name in the configuration, or a folder
    #[arg(value_name = "NAME|PATH")]
    pub repository: String,
    /// File with a password that opens it [default: as the configuration says]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The repository: a name in the configuration, or a folder
    #[arg(long, value_name = "NAME|PATH")]
    pub repository: String,
    /// The backup, when the repository holds copies of several
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
    /// The copy: latest, or its id
    #[arg(long, value_name = "ID", default_value = "latest")]
    pub snapshot: String,
    /// Where to restore to: a folder that is empty or not there yet; files lie in it under their full path
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Only this file or folder within the copy
    #[arg(long, value_name = "PATH")]
    pub only: Option<String>,
    /// File with the password [default: as the configuration says]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `actions`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ActionsArgs {
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
    /// What to do with them; show them when left out.
    #[command(subcommand)]
    pub command: Option<ActionsCommand>,
}

/// `actions …`.
#[derive(Debug, Subcommand)]
pub enum ActionsCommand {
    /// Let no action begin any more, or hold one
    #[command(after_help = "Examples:\n  watchkeep actions stop\n  watchkeep actions stop shop-rollback")]
    Stop(SwitchArgs),
    /// Allow acting again, or release one that is held
    #[command(after_help = "Examples:\n  watchkeep actions allow\n  watchkeep actions allow shop-rollback")]
    Allow(SwitchArgs),
}

/// `actions stop` and `allow`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// The action [default: all acting]
    #[arg(value_name = "NAME")]
    pub action: Option<String>,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

/// `notify …`.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message for real
    #[command(after_help = "Examples:\n  watchkeep notify test me\n  watchkeep notify test me --no-wait")]
    Test(NotifyTestArgs),
}

/// `notify test`.
#[derive(Debug, Args)]
pub struct NotifyTestArgs {
    /// The destination: a [notify.NAME] of the configuration
    #[arg(value_name = "NAME")]
    pub name: String,
    /// See [`Waiting`].
    #[command(flatten)]
    pub waiting: Waiting,
    /// See [`Asking`].
    #[command(flatten)]
    pub asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    fn leaves(command: &clap::Command, path: &str, into: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path}{} ", command.get_name());
        if command.get_subcommands().next().is_none()
            || command.get_name() == "alerts"
            || command.get_name() == "actions"
        {
            into.push((path.clone(), command.clone()));
        }
        command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
            .for_each(|sub| leaves(sub, &path, into));
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        assert!(commands.len() > 20, "{}", commands.len());
        for (path, command) in commands {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  watchkeep")).collect();
            assert!(!examples.is_empty(), "{path} has no examples");
            for example in examples {
                let typed = example.trim().split("   ").next().unwrap().split(" | ").next().unwrap();
                let mut quoted = false;
                let mut words = vec![String::new()];
                for c in typed.chars() {
                    match c {
                        '"' => quoted = !quoted,
                        ' ' if !quoted => words.push(String::new()),
                        c => words.last_mut().unwrap().push(c),
                    }
                }
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{typed}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn the_version_is_a_released_one() {
        let version = Cli::command().render_version();
        let said = version.trim().strip_prefix("watchkeep ").unwrap();
        assert!(
            !said.starts_with("0.0.0") && said.starts_with(env!("CARGO_PKG_VERSION")),
            "{version}"
        );
        // Nothing but the version, or the commit behind it.
        let commit = said.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap();
        assert!(
            commit.is_empty() || (commit.starts_with(" (commit ") && commit.len() <= 22),
            "{version}"
        );
    }

    #[test]
    fn a_silence_must_be_meant() {
        let parse = |text: &str| Cli::try_parse_from(text.split(' '));
        for wrong in [
            "watchkeep silence --for 2h",
            "watchkeep silence shop",
            "watchkeep silence shop --all --for 1h",
            "watchkeep silence --list --for 1h",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("watchkeep silence shop --service x --for 1h").is_ok());
    }

    #[test]
    fn help_fits_eighty_columns() {
        let mut commands = vec![("watchkeep".to_owned(), Cli::command())];
        leaves(&Cli::command(), "", &mut commands);
        for (path, command) in commands {
            let help = command.term_width(80).render_help().to_string();
            let long = help.lines().find(|line| line.chars().count() > 80);
            assert_eq!(long, None, "{path}");
        }
    }
}
