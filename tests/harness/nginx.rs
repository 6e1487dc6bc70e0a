//! A real nginx as a target.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::certificate::Certificate;
use crate::{Process, ports, tools};

/// An nginx that answers `200 ok` on every path, until it is stopped.
#[derive(Debug)]
pub struct Nginx {
    /// Port it listens on, also over stops and starts.
    pub port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Nginx {
    /// Starts it on a free port, speaking HTTP.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        Self::with(folder, "return 200 'ok\\n';", None)
    }

    /// Starts it with the body of `location /` as given, and TLS if there is a certificate.
    #[must_use]
    pub fn with(folder: &Path, location: &str, certificate: Option<&Certificate>) -> Self {
        let port = ports::free();
        let folder = folder.join(format!("nginx-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("nginx.conf"),
            configuration(&folder, port, location, certificate),
        )
        .unwrap();
        let mut nginx = Self {
            port,
            folder,
            process: None,
        };
        nginx.start_again();
        nginx
    }

    /// Its address as a URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        let secure = std::fs::read_to_string(self.folder.join("nginx.conf"))
            .unwrap()
            .contains("ssl_certificate ");
        format!("{}://127.0.0.1:{}", if secure { "https" } else { "http" }, self.port)
    }

    /// Starts it on the same port after a stop.
    pub fn start_again(&mut self) {
        let mut command = Command::new(tools::system("nginx"));
        command
            .arg("-p")
            .arg(&self.folder)
            .arg("-c")
            .arg(self.folder.join("nginx.conf"));
        let mut process = Process::start(&mut command, &self.folder.join("nginx.log"));
        process.wait_for_port(self.port, Duration::from_secs(10));
        self.process = Some(process);
    }

    /// Stops it: connections are refused from here on.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(Duration::from_secs(10));
        }
    }

    /// How many requests reached it.
    #[must_use]
    pub fn requests(&self) -> usize {
        std::fs::read_to_string(self.folder.join("access.log"))
            .unwrap_or_default()
            .lines()
            .count()
    }
}

fn configuration(folder: &Path, port: u16, location: &str, certificate: Option<&Certificate>) -> String {
    let at = folder.display();
    let (listen, tls) = match certificate {
        None => (String::new(), String::new()),
        Some(files) => (
            " ssl".to_owned(),
            format!(
                "ssl_certificate {}; ssl_certificate_key {};",
                files.chain.display(),
                files.key.display()
            ),
        ),
    };
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log; {user}\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log {at}/access.log; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
         fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi; default_type text/plain;\n\
         server {{ listen 127.0.0.1:{port}{listen}; {tls} location / {{ {location} }} }} }}\n"
    )
}
