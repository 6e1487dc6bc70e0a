//! The two listeners.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{IntoDiagnostic, WrapErr};
use store::telemetry::Telemetry;
use tokio::net::TcpListener;
use web::{App, Host, Members, bind_socket, serve_socket, serve_tcp, socket_router, tcp_router};

use crate::{
    ingest,
    settings::Settings,
    supervisor::{SharedStop, Stage, Supervisor},
};

/// Opens socket and address; returns where the socket is.
pub(super) async fn start(
    settings: &Settings,
    app: &App,
    telemetry: &Telemetry,
    data: &Path,
    supervisor: &mut Supervisor,
) -> miette::Result<PathBuf> {
    let path = crate::settings::socket_of(data);
    let members = Members {
        group: settings.web.group.as_ref().map(|group| group_id(group)).transpose()?,
    };
    let socket = bind_socket(&path, &members)
        .into_diagnostic()
        .wrap_err_with(|| format!("open the socket {}", path.display()))?;
    let address = settings.listen();
    let listener = TcpListener::bind(address).await.into_diagnostic().wrap_err_with(|| {
        format!(
            "listen on {address}: if another program has it, set another address: [web] listen = \"127.0.0.1:4319\""
        )
    })?;
    let stop: SharedStop = Arc::new(supervisor.token(Stage::Serve));
    let router = socket_router(app.clone());
    supervisor.essential(
        Stage::Serve,
        "socket",
        serve_socket(socket, router, members, Arc::clone(&stop)),
    );
    let host = Host {
        names: settings.web.names.clone(),
    };
    let router = tcp_router(app.clone(), host, ingest::kinds(settings, telemetry, &app.clocks));
    supervisor.essential(Stage::Serve, "http", serve_tcp(listener, router, stop));
    Ok(path)
}

/// Number of a group by name. Source: group(5).
fn group_id(name: &str) -> miette::Result<u32> {
    let groups = std::fs::read_to_string("/etc/group")
        .into_diagnostic()
        .wrap_err("read /etc/group")?;
    let of_group = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1).and_then(|id| id.parse().ok()))
            .flatten()
    };
    groups
        .lines()
        .find_map(of_group)
        .ok_or_else(|| miette::miette!("[web] group: there is no group {name:?} on this machine"))
}
