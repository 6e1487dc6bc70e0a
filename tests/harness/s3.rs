//! Real S3 servers: s3s-fs checks signatures and keeps objects as plain files; moto is the one stock restic can use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Process, http, ports, tools};

/// A running S3 server with one bucket.
#[derive(Debug)]
pub struct S3 {
    /// Port it listens on.
    pub port: u16,
    /// Name of its bucket.
    pub bucket: &'static str,
    /// Access key; moto takes any.
    pub access_key: &'static str,
    /// Secret key; moto takes any.
    pub secret_key: &'static str,
    folder: PathBuf,
    process: Process,
}

impl S3 {
    /// Starts s3s-fs: it refuses wrong keys and honours `If-None-Match`; stock restic lists no packs on it.
    #[must_use]
    pub fn strict(folder: &Path) -> Self {
        let (port, bucket) = (ports::free(), "backups");
        let (access_key, secret_key) = ("AKWATCHKEEP", "secret-of-the-store");
        let folder = folder.join(format!("s3-{port}"));
        std::fs::create_dir_all(folder.join("root").join(bucket)).unwrap();
        let mut command = Command::new(tools::s3s_fs());
        command.args([
            "--access-key",
            access_key,
            "--secret-key",
            secret_key,
            "--host",
            "127.0.0.1",
            "--port",
        ]);
        command.arg(port.to_string()).arg(folder.join("root"));
        let mut process = Process::start(&mut command, &folder.join("server.log"));
        process.wait_for_port(port, Duration::from_secs(10));
        Self {
            port,
            bucket,
            access_key,
            secret_key,
            folder,
            process,
        }
    }

    /// Starts moto: it takes any key; stock restic works on it.
    #[must_use]
    pub fn moto(folder: &Path) -> Self {
        let (port, bucket) = (ports::free(), "backups");
        let folder = folder.join(format!("moto-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(tools::python_program("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = Process::start(&mut command, &folder.join("server.log"));
        process.wait_for_port(port, Duration::from_secs(60));
        let path = format!("/{bucket}");
        let made = http::send(
            ports::local(port),
            &http::Request {
                method: "PUT",
                path: &path,
                headers: &[],
                body: b"",
            },
        )
        .unwrap();
        assert_eq!(made.status(), 200, "create the bucket: {}", made.text());
        Self {
            port,
            bucket,
            access_key: "AKMOTO",
            secret_key: "any",
            folder,
            process,
        }
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The files behind the bucket's objects (s3s-fs only), sorted, without the server's own.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.folder.join("root").join(self.bucket), &mut found);
        found.sort();
        found
    }

    /// The server's process, to kill or measure it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if !path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        {
            found.push(path);
        }
    }
}

/// Flips one bit of a file's byte at `offset`, as a rotten disk would.
pub fn flip(file: &Path, offset: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(file, bytes).unwrap();
}
