//! The two listeners.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{IntoDiagnostic, WrapErr};
use store::telemetry::Telemetry;
use tokio::net::{TcpListener, UnixListener};
use web::{App, Host, Members, bind_socket, serve_socket, serve_tcp, socket_router, tcp_router};

use crate::{
    ingest,
    settings::Settings,
    supervisor::{SharedStop, Stage, Supervisor},
};

/// The two listeners, bound and not yet served.
pub(super) struct Doors {
    path: PathBuf,
    members: Members,
    socket: UnixListener,
    tcp: TcpListener,
}

/// Binds socket and address.
pub(super) async fn bind(settings: &Settings, data: &Path) -> miette::Result<Doors> {
    let tcp = listen(settings.listen()).await?;
    let path = crate::settings::socket_of(data);
    let members = members(settings)?;
    let socket = bind_socket(&path, &members)
        .into_diagnostic()
        .wrap_err_with(|| format!("open the socket {}", path.display()))?;
    Ok(Doors {
        path,
        members,
        socket,
        tcp,
    })
}

/// Whether the listeners of other settings could be bound beside those that are.
pub(super) async fn try_out(settings: &Settings, bound: Option<&str>) -> miette::Result<()> {
    members(settings)?;
    if bound != Some(settings.listen()) {
        listen(settings.listen()).await?;
    }
    Ok(())
}

async fn listen(address: &str) -> miette::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        miette::miette!(
            help = "if another program has it, set another address: [web] listen = \"127.0.0.1:4319\"",
            "listen on {address}: {error}"
        )
    })
}

/// Who is admitted on the socket.
///
/// # Errors
/// When there is no such group, or this user may not give the socket to it.
pub(crate) fn members(settings: &Settings) -> miette::Result<Members> {
    let Some(name) = &settings.web.group else {
        return Ok(Members::default());
    };
    let group = group_id(name)?;
    let user = rustix::process::geteuid();
    let groups = rustix::process::getgroups()
        .into_diagnostic()
        .wrap_err("read the groups of this user")?;
    let is_member = || {
        groups
            .iter()
            .chain([&rustix::process::getegid()])
            .any(|own| own.as_raw() == group)
    };
    if !user.is_root() && !is_member() {
        return Err(miette::miette!(
            "[web] group: user {} is not in the group {:?} and may not give the socket to it",
            user.as_raw(),
            name.as_str()
        ));
    }
    Ok(Members { group: Some(group) })
}

/// Serves both; returns where the socket is.
pub(super) fn start(
    doors: Doors,
    settings: &Settings,
    app: &App,
    telemetry: &Telemetry,
    supervisor: &mut Supervisor,
) -> PathBuf {
    let Doors {
        path,
        members,
        socket,
        tcp,
    } = doors;
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
    supervisor.essential(Stage::Serve, "http", serve_tcp(tcp, router, stop));
    path
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
