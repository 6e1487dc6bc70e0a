//! Who may do what: one rule for each route, deny by default.

use axum::http::{HeaderMap, StatusCode, header};

use crate::Problem;

/// What a caller may do. No scope implies another, but for `Admin`, which is the owner of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything: uid 0 or the daemon's own, on the socket.
    Admin,
    /// Read, and operate: a member of the configured group, on the socket.
    Operate,
    /// Nothing but what is open.
    None,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id of the peer, on the socket.
    pub uid: Option<u32>,
    /// What it may do.
    pub scope: Scope,
}

impl Caller {
    /// A caller over TCP.
    pub const TCP: Self = Self {
        uid: None,
        scope: Scope::None,
    };

    /// How the journal names it as a source.
    #[must_use]
    pub fn name(&self) -> String {
        self.uid
            .map_or_else(|| "http".to_owned(), |uid| format!("cli:uid:{uid}"))
    }

    /// How people read who it was, when nobody said: the name of the user, as the command line gives it too.
    #[must_use]
    pub fn person(&self) -> String {
        self.uid.map_or_else(
            || "somebody".to_owned(),
            |uid| user_name(uid).unwrap_or_else(|| format!("user {uid}")),
        )
    }
}

/// Name of a user of this machine, when it is one of its own. Source: passwd(5).
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    named_in(uid, &std::fs::read_to_string("/etc/passwd").ok()?)
}

fn named_in(uid: u32, passwd: &str) -> Option<String> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    passwd.lines().find_map(of_line)
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever reaches the listener: on TCP that is loopback only.
    Anyone,
    /// Who may read.
    Read,
    /// Who may acknowledge, silence, record, start a backup.
    Operate,
    /// Who may stop and allow acting.
    Act,
}

impl Who {
    /// Whether a scope is enough.
    #[must_use]
    pub fn admits(self, scope: Scope) -> bool {
        match (self, scope) {
            (Self::Anyone, _) | (_, Scope::Admin) | (Self::Read | Self::Operate, Scope::Operate) => true,
            (Self::Act, Scope::Operate) | (Self::Read | Self::Operate | Self::Act, Scope::None) => false,
        }
    }
}

/// Names under which this listener may be called: against DNS rebinding.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Configured names beside localhost and the loopback addresses.
    pub names: Vec<String>,
}

impl Host {
    /// Checks the headers of a request that came over TCP.
    ///
    /// # Errors
    /// 421 for a foreign `Host`, 403 for any `Origin`: no web page has business here.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host_name(host);
        let known = matches!(name, "localhost" | "127.0.0.1" | "[::1]")
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        if !known || hosts.next().is_some() {
            let title = format!("this is not {:?}", name.chars().take(80).collect::<String>());
            let detail = "call it by localhost, 127.0.0.1 or [::1], or name it under [web] names";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, title).detail(detail));
        }
        if headers.contains_key(header::ORIGIN) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "requests of web pages are refused")
                .detail("send no Origin header"));
        }
        Ok(())
    }
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.chars().all(|c| c.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
        headers
    }

    #[test]
    fn a_person_has_one_name_everywhere() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nbroken\n:x:7:7::/:/bin/sh\nalice:x:1000:1000::/srv/alice:/bin/sh\n";
        assert_eq!(named_in(1000, passwd).as_deref(), Some("alice"));
        assert_eq!(named_in(0, passwd).as_deref(), Some("root"));
        assert_eq!(named_in(7, passwd), None);
        let caller = |uid| Caller {
            uid: Some(uid),
            scope: Scope::None,
        };
        assert_eq!(caller(0).person(), "root");
        assert_eq!(caller(4_294_000_000).person(), "user 4294000000");
    }

    #[test]
    fn only_its_own_names_are_answered() {
        let host = Host {
            names: vec!["watch.internal".to_owned()],
        };
        for own in [
            "localhost",
            "localhost:4318",
            "127.0.0.1:4318",
            "[::1]:4318",
            "[::1]",
            "watch.internal:80",
        ] {
            assert_eq!(host.check(&headers(own, None)), Ok(()), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io:4318",
            "watch.internal.evil",
            "::1",
        ] {
            assert_eq!(
                host.check(&headers(foreign, None)).unwrap_err().status,
                421,
                "{foreign}"
            );
        }
        assert_eq!(
            host.check(&headers("localhost", Some("http://localhost")))
                .unwrap_err()
                .status,
            403
        );
        assert_eq!(host.check(&HeaderMap::new()).unwrap_err().status, 421);
    }
}
