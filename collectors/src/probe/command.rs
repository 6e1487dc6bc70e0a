//! A command: code 0 is pass. No shell, no inherited environment, its own process group, ended at the deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use config::{Located, Mistake};
use events::{Look, Reason, Status};
use outbound::{Context, Finding};
use rustix::process::{Pid, Signal, kill_process_group};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::{Instant, timeout, timeout_at},
};

use super::{Probe, ProbeKind, stopwatch::Stopwatch, why};

/// Most output that is kept of each stream; what comes after is read and dropped.
const OUTPUT_MAX: usize = 64 * 1024;
/// How long output is waited for after the command has ended.
const AFTER_END: Duration = Duration::from_millis(500);
/// All that a command finds in its environment, with what the configuration adds.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LANG", "C.UTF-8"),
];

/// `check.command`: a command of this machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandCheck {
    /// The program, by its absolute path, and its arguments. There is no shell.
    pub argv: Located<Vec<String>>,
    /// Added to its environment, which is otherwise `PATH` and `LANG` only.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Exit codes that are a pass; 0 when not said.
    #[serde(default = "zero")]
    pub exit: BTreeSet<u8>,
    /// Text that its output has to hold.
    #[serde(default)]
    pub contains: Option<String>,
}

fn zero() -> BTreeSet<u8> {
    BTreeSet::from([0])
}

struct CommandProbe(CommandCheck);

impl CommandCheck {
    fn program(&self) -> Result<&Path, Mistake> {
        let mistake = |message: String, help: &str| Mistake::at(self.argv.span(), message).help(help);
        let Some(program) = self.argv.first().filter(|program| !program.is_empty()) else {
            return Err(mistake(
                "the command is empty".to_owned(),
                "name a program and its arguments: [\"/usr/bin/test\", \"-e\", \"/run/shop.pid\"]",
            ));
        };
        if self.argv.iter().any(|word| word.contains('\0')) {
            return Err(mistake(
                "the command holds a NUL character".to_owned(),
                "no argument of a program can hold one: leave it out",
            ));
        }
        let path = Path::new(program);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(mistake(
                format!("the program {program:?} is no absolute path"),
                "no shell and no PATH look it up: write the whole path, such as /usr/bin/test",
            ))
        }
    }
}

#[async_trait]
impl ProbeKind for CommandCheck {
    fn mistakes(&self) -> Vec<Mistake> {
        self.program().err().into_iter().collect()
    }

    fn build(&self, _: &Context) -> Result<Box<dyn Probe>, Mistake> {
        Ok(Box::new(CommandProbe(self.clone())))
    }

    fn target(&self) -> String {
        format!("command {}", self.argv.join(" "))
    }

    fn is_near(&self) -> bool {
        true
    }

    fn host(&self) -> String {
        "command".to_owned()
    }

    /// Looks at the program, and does not run it: a check must change nothing.
    async fn preflight(&self, _: &Context) -> Vec<Finding> {
        let what = self.target();
        let path = match self.program() {
            Ok(path) => path.to_owned(),
            Err(mistake) => {
                return vec![Finding::problem(
                    what,
                    mistake.message,
                    mistake.help.unwrap_or_default(),
                )];
            }
        };
        vec![match std::fs::metadata(&path) {
            Err(error) => Finding::problem(what, error.to_string(), "correct the path of the program"),
            Ok(metadata) if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 => {
                Finding::problem(what, "it is no program", format!("run: chmod +x {}", path.display()))
            }
            Ok(metadata) if metadata.permissions().mode() & 0o022 != 0 => Finding::problem(
                what,
                "others may change it, and so run what they like as this user",
                format!("run: chmod go-w {}", path.display()),
            ),
            Ok(_) => Finding::ok(what, "it can be run"),
        }]
    }
}

#[async_trait]
impl Probe for CommandProbe {
    async fn look(&self, deadline: Instant) -> Look {
        let watch = Stopwatch::start();
        let look = match self.spawn() {
            Ok((child, group)) => self.attend(child, group, deadline).await,
            Err(look) => look,
        };
        watch.stamp(look)
    }
}

impl CommandProbe {
    fn spawn(&self) -> Result<(Child, Group), Look> {
        let broken = || why::broken("the command has no process id");
        let (program, arguments) = self.0.argv.split_first().ok_or_else(broken)?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(&self.0.env)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| why::not_started(program, &error))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok((child, Group(Some(pid.ok_or_else(broken)?))))
    }

    async fn attend(&self, mut child: Child, mut group: Group, deadline: Instant) -> Look {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let mut output = Box::pin(async { tokio::join!(keep(stdout, &mut said), keep(stderr, &mut complained)) });
        let mut output_ended = false;
        let ended = loop {
            tokio::select! {
                ended = timeout_at(deadline, child.wait()) => break ended,
                _ = &mut output, if !output_ended => output_ended = true,
            }
        };
        // Whatever it left behind ends with it, and lets go of the pipes.
        group.kill();
        if !output_ended {
            let _ = timeout(AFTER_END, &mut output).await;
        }
        drop(output);
        if ended.is_err() {
            // Killed: it has to be waited for, so that no dead entry stays in the process table.
            let _ = timeout(AFTER_END, child.wait()).await;
        }
        let look = match ended {
            Err(_) => why::fail(Reason::Timeout, "still running at the deadline, and killed"),
            Ok(Err(error)) => why::broken(format!("wait for the command: {error}")),
            Ok(Ok(status)) => self.judge(status, &said),
        };
        if look.status == Status::Pass {
            return look;
        }
        Look {
            evidence: why::evidence(&[&complained, &said]),
            ..look
        }
    }

    fn judge(&self, status: ExitStatus, said: &[u8]) -> Look {
        let Some(code) = status.code() else {
            let signal = status.signal().unwrap_or_default();
            return why::fail(Reason::Signal, format!("ended by signal {signal}"));
        };
        if !u8::try_from(code).is_ok_and(|code| self.0.exit.contains(&code)) {
            return why::fail(Reason::ExitCode, format!("exit code {code}"));
        }
        match &self.0.contains {
            Some(text) if !String::from_utf8_lossy(said).contains(text.as_str()) => why::fail(
                Reason::BodyMismatch,
                format!("exit code {code}, but the output lacks {text:?}"),
            ),
            _ => Look::new(Status::Pass, Reason::Ok, format!("exit code {code}")),
        }
    }
}

/// A process group that does not outlive the look, also when the look is dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // Nobody left in it is what we want.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads to the end, keeps the first [`OUTPUT_MAX`] bytes.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 4096];
    while let Ok(count) = stream.read(&mut chunk).await {
        if count == 0 {
            return;
        }
        let room = OUTPUT_MAX.saturating_sub(kept.len()).min(count);
        kept.extend(chunk.iter().take(room));
    }
}
