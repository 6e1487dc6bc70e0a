//! What every test needs: a place, a repository in it, something to back up, and the real servers.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use backup::{Access, Captured, Clock, Failure, Location, Reason, Repository, Request, Rules, Run, Source};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const PASSWORD: &str = "a password of the tests";
pub(crate) const RECOVERY: &str = "the recovery password";

#[expect(
    clippy::disallowed_methods,
    reason = "tests are the outermost place: the clock enters here"
)]
pub(crate) fn run() -> Run {
    Run::new("testhost", Clock::new(jiff::Timestamp::now))
}

/// A folder for one test, with a repository and a source in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// An empty place.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn location(&self) -> Location {
        Location::Folder(self.path("repository"))
    }

    pub(crate) fn init(&self) -> Repository {
        Repository::init(&self.location(), PASSWORD, Some(RECOVERY), run()).unwrap()
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::open(&self.location(), PASSWORD, Access::Write, run()).unwrap()
    }

    /// A backup request over the folder `source`.
    pub(crate) fn request(&self) -> Request {
        self.request_of(vec![Source::Folder {
            paths: vec![self.path("source")],
            exclude: vec![],
        }])
    }

    pub(crate) fn request_of(&self, sources: Vec<Source>) -> Request {
        Request {
            job: "nightly".into(),
            run: "run-1".into(),
            sources,
            staging: self.path("staging"),
            rules: Rules::default(),
        }
    }

    /// A source of several kinds of files, so that there are several packs and chunks: 5 MB.
    pub(crate) fn fill(&self) {
        for number in 0..20_u32 {
            self.write(
                &format!("source/small/{number}.txt"),
                format!("file number {number}\n").repeat(50),
            );
        }
        self.write("source/big.bin", noise(1, 3_000_000));
        self.write("source/other.bin", noise(2, 2_000_000));
        self.write("source/empty", b"");
    }

    /// Files below a folder of the repository, sorted.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        files_below(&self.path("repository").join(kind))
    }
}

/// Bytes that do not compress and never change.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Changes one byte in the middle of a file.
pub(crate) fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Failure>, reason: Reason) -> String {
    let failure = answer.unwrap_err();
    assert_eq!(failure.reason(), reason, "{}", failure.chain());
    failure.chain()
}

/// A backup that must succeed, and its proof.
pub(crate) fn backup_and_prove(repository: &Repository, request: &Request, scratch: &Path) -> Captured {
    let captured = repository.backup(request).unwrap();
    repository.verify(&captured.snapshot).unwrap();
    let proof = backup::prove(repository, &captured.snapshot, Some(&captured.note.digest), scratch).unwrap();
    assert_eq!((proof.files, proof.bytes), (captured.note.files, captured.note.bytes));
    captured
}

/// Compares two trees: names, kinds, contents, modes, times and link targets, by GNU tools.
pub(crate) fn assert_same_tree(one: &Path, two: &Path) {
    let list = |folder: &Path| {
        let format = r"%P|%y|%m|%U:%G|%s|%T@|%l\n";
        let script = format!("find . -mindepth 1 ! -type d -printf '{format}'; find . -type d -printf '%P|%m|%T@\\n'");
        output(
            Command::new("sh")
                .arg("-c")
                .arg(format!("({script}) | sort"))
                .current_dir(folder),
        )
    };
    assert_eq!(list(one), list(two));
    output(
        Command::new("diff")
            .args(["-r", "--no-dereference", "-x", "pipe"])
            .arg(one)
            .arg(two),
    );
}

/// A process of its own that backs up `source` of this place, so that it can be stopped and killed.
pub(crate) fn child_that_backs_up(place: &Place) -> Child {
    child_of(place, "interrupted::child_that_backs_up_until_it_is_killed")
}

/// A process of its own that runs an ignored test in this place.
pub(crate) fn child_of(place: &Place, test: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored"]).current_dir(place.path(""));
    child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, name: &str) {
    output(Command::new("kill").args(["-s", name, &child.id().to_string()]));
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> String {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    text
}

/// Waits until something holds, for at most two minutes: the machine may be busy.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "waited too long until {what}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A server that ends with its test.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server on a free port and waits until it takes connections.
    pub(crate) fn start(mut command: impl FnMut(u16) -> Command) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = command(port);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let server = Self { child, port };
        wait_until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// Kills it in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
