//! What a probe says: pass, fail or unknown, with a reason from a closed list.

use serde::{Deserialize, Serialize};

use crate::{Name, ServiceId, Timestamp};

/// The three answers. Unknown holds whatever was: it never opens, closes or acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// What was asked for holds.
    Pass,
    /// What was asked for does not hold.
    Fail,
    /// Nobody can say; so reads, too, an answer that a newer version wrote.
    #[serde(other)]
    Unknown,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// Why a probe answered as it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// A reason that a newer version wrote.
            #[serde(other)]
            Other,
        }

        impl Reason {
            /// The reason in words, as a person on call reads it.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other => "for a reason this version does not know",
                }
            }
        }
    };
}

reasons! {
    /// All is well.
    Ok = "ok",
    /// No such host.
    DnsNxdomain = "host name does not exist",
    /// The resolver did not answer in time.
    DnsTimeout = "name resolution timed out",
    /// The resolver failed.
    DnsFailed = "name resolution failed",
    /// The peer refused the connection.
    ConnectRefused = "connection refused",
    /// The peer did not answer the connection attempt.
    ConnectTimeout = "connection timed out",
    /// No route to the peer.
    ConnectUnreachable = "network unreachable",
    /// The connection broke.
    ConnectionReset = "connection broke off",
    /// The certificate is past its end.
    TlsExpired = "certificate expired",
    /// The certificate is for another name.
    TlsName = "certificate is for another name",
    /// The certificate's issuer is not trusted.
    TlsUntrusted = "certificate issuer is not trusted",
    /// The handshake failed otherwise.
    TlsFailed = "TLS handshake failed",
    /// The status is not the expected one.
    HttpStatus = "unexpected HTTP status",
    /// The answer is not HTTP, or too large.
    HttpInvalid = "invalid HTTP answer",
    /// The body lacks what it should hold.
    BodyMismatch = "body does not match",
    /// Right, but slower than allowed.
    TooSlow = "too slow",
    /// No answer before the deadline.
    Timeout = "no answer before the deadline",
    /// The command ended with another code than expected.
    ExitCode = "command failed",
    /// The command was ended by a signal.
    Signal = "command was killed",
    /// The command could not be started.
    NotStarted = "command could not be started",
    /// Free space or inodes below the limit.
    DiskFull = "disk is nearly full",
    /// The path does not exist or is no mount.
    DiskMissing = "path does not exist",
    /// Load above the limit.
    LoadHigh = "load is too high",
    /// Free memory below the limit.
    MemoryLow = "memory is nearly used up",
    /// The watcher's own network is cut.
    WatcherOffline = "the watcher itself is offline",
    /// No result came for longer than the interval allows.
    NoResult = "no result from the probe",
    /// The probe itself failed: a defect or a missing right.
    ProbeBroken = "the probe itself failed",
    /// Not looked at yet.
    NotYet = "not looked at yet",
}

/// Where the time of a probe went, in microseconds; a part that does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Name resolution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolve_us: Option<u64>,
    /// TCP connection.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connect_us: Option<u64>,
    /// TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_us: Option<u64>,
    /// Request sent to first byte.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_byte_us: Option<u64>,
    /// All of it.
    pub total_us: u64,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The answer.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// One line for a person: the status line, the socket error, the free space; at most 200 characters.
    pub detail: String,
    /// First bytes of what came back, at most [`EVIDENCE_MAX`], control characters replaced.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub evidence: String,
    /// Where the time went.
    pub timings: Timings,
    /// End of the certificate that was shown, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate_expires: Option<Timestamp>,
}

/// Most bytes of evidence kept of one look.
pub const EVIDENCE_MAX: usize = 2048;

impl Look {
    /// A look without evidence or timings beyond the total.
    #[must_use]
    pub fn new(status: Status, reason: Reason, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        let detail = detail
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(200)
            .collect();
        Self {
            status,
            reason,
            detail,
            evidence: String::new(),
            timings: Timings::default(),
            certificate_expires: None,
        }
    }
}

impl Look {
    /// What it found, in a line: the reason, and what stood there in brackets; neither is said twice.
    #[must_use]
    pub fn said(&self) -> String {
        let reason = self.reason.text();
        let detail = self.detail.trim();
        if detail.is_empty() {
            reason.to_owned()
        } else if detail.to_lowercase().contains(&reason.to_lowercase()) {
            detail.to_owned()
        } else {
            format!("{reason} ({detail})")
        }
    }
}

/// One result of a probe, second look included: what the writer compares with the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Which probe.
    pub probe: Name,
    /// The service it speaks for.
    pub service: ServiceId,
    /// When the first look was due.
    pub planned: Timestamp,
    /// When the last look ended.
    pub ended: Timestamp,
    /// What counts: of two failures the second.
    pub look: Look,
    /// The first look, when there was a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<Look>,
}
