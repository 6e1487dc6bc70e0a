//! Hosts of the test's own: network namespaces joined by virtual cables that can be pulled.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tools;

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A host: its own network, sharing files and processes with this machine.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a host with only a loopback.
    #[must_use]
    pub fn create(label: &str) -> Self {
        let name = format!(
            "wk{}-{}-{label}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::SeqCst)
        );
        tools::run(tools::as_root("ip").args(["netns", "add", &name]));
        let host = Self { name };
        host.ip(&["link", "set", "lo", "up"]);
        host
    }

    /// A command that runs on this host.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = tools::as_root("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    fn ip(&self, arguments: &[&str]) {
        tools::run(tools::as_root("ip").args(["-n", &self.name]).args(arguments));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _gone = tools::as_root("ip").args(["netns", "del", &self.name]).output();
    }
}

/// A cable between a namespace and another one, or this machine. Its addresses are of the range for benchmarks (198.18.0.0/15),
/// which counts as public: a watcher may blame the path to them.
#[derive(Debug)]
pub struct Link {
    near: String,
    /// Address of the first end.
    pub near_address: Ipv4Addr,
    /// Address of the second end.
    pub far_address: Ipv4Addr,
    end: String,
}

impl Link {
    /// Joins `near` with `far`, or with this machine; `net` is the third part of the addresses and names the cable.
    #[must_use]
    pub fn join(near: &Namespace, far: Option<&Namespace>, net: u8) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let id = std::process::id() % 100_000;
        let (one, two) = (format!("wa{id}-{number}"), format!("wb{id}-{number}"));
        tools::run(tools::as_root("ip").args([
            "link", "add", &one, "netns", &near.name, "type", "veth", "peer", "name", &two,
        ]));
        let link = Self {
            near: near.name.clone(),
            near_address: Ipv4Addr::new(198, 18, net, 1),
            far_address: Ipv4Addr::new(198, 18, net, 2),
            end: one.clone(),
        };
        near.ip(&["addr", "add", &format!("{}/24", link.near_address), "dev", &one]);
        near.ip(&["link", "set", &one, "up"]);
        let far_address = format!("{}/24", link.far_address);
        match far {
            Some(far) => {
                tools::run(tools::as_root("ip").args(["link", "set", &two, "netns", &far.name]));
                far.ip(&["addr", "add", &far_address, "dev", &two]);
                far.ip(&["link", "set", &two, "up"]);
            }
            None => {
                tools::run(tools::as_root("ip").args(["addr", "add", &far_address, "dev", &two]));
                tools::run(tools::as_root("ip").args(["link", "set", &two, "up"]));
            }
        }
        link
    }

    /// Gives `far`, a namespace that this cable joins, more addresses: 198.18.NET.(10 + n) for n below `count`.
    #[must_use]
    pub fn add_addresses(&self, far: &Namespace, count: u8) -> Vec<Ipv4Addr> {
        let [a, b, net, _] = self.far_address.octets();
        let addresses: Vec<Ipv4Addr> = (0..count).map(|n| Ipv4Addr::new(a, b, net, 10 + n)).collect();
        for address in &addresses {
            far.ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"]);
        }
        addresses
    }

    /// Pulls the cable.
    pub fn cut(&self) {
        tools::run(tools::as_root("ip").args(["-n", &self.near, "link", "set", &self.end, "down"]));
    }

    /// Plugs it in again.
    pub fn mend(&self) {
        tools::run(tools::as_root("ip").args(["-n", &self.near, "link", "set", &self.end, "up"]));
    }
}
