//! Real services with the stock OpenTelemetry SDKs of Python and Node. They export to the SDK's default, `localhost:4318`,
//! unless the environment given says otherwise.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::http::{self, Message};
use crate::{Process, ports, tools};

/// A running service with the route `/work` (`?fail=1` answers 500, `?slow=MS` waits), which answers its trace id.
#[derive(Debug)]
pub struct Service {
    /// Port it listens on.
    pub port: u16,
    process: Process,
}

impl Service {
    /// Starts a service in Python; `next` is a URL that it calls for each request.
    #[must_use]
    pub fn python(folder: &Path, name: &str, next: Option<&str>, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(tools::python());
        command.arg(tools::script("service.py"));
        Self::start(command, folder, name, next, environment)
    }

    /// Starts a service in Node; `next` is a URL that it calls for each request.
    #[must_use]
    pub fn node(folder: &Path, name: &str, next: Option<&str>, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(tools::system("node"));
        command
            .arg(tools::script("service.js"))
            .env("NODE_PATH", tools::node_modules());
        Self::start(command, folder, name, next, environment)
    }

    fn start(
        mut command: Command,
        folder: &Path,
        name: &str,
        next: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Self {
        let port = ports::free();
        command
            .env("PORT", port.to_string())
            .env("OTEL_SERVICE_NAME", name)
            .env("OTEL_BSP_SCHEDULE_DELAY", "500");
        command.env("OTEL_METRICS_EXPORTER", "none");
        if let Some(next) = next {
            command.env("NEXT", next);
        }
        command.envs(environment.iter().copied());
        let mut process = Process::start(&mut command, &folder.join(format!("service-{name}.log")));
        process.wait_for_port(port, Duration::from_secs(30));
        Self { port, process }
    }

    /// Its address for `/work`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/work", self.port)
    }

    /// One request; the answer's body is the trace id unless it failed.
    #[must_use]
    pub fn work(&self, query: &str) -> Message {
        http::get(ports::local(self.port), &format!("/work{query}")).unwrap()
    }

    /// Ends it in good order: what it still holds is exported first.
    pub fn stop(mut self) {
        self.process.terminate(Duration::from_secs(30));
    }
}
