//! The functions of the language: one table with names, arguments, results and documentation.
//!
//! A new function is a row of [`FUNCTIONS`] and, when it measures something new, a variant in `expression`.

use std::fmt;

use super::{
    error::closest,
    expression::{Age, Duration, Fact, Fraction, Number, Target, Value},
    literal::{Refusal, Share},
};
use jiff::SignedDuration;

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True, false or unknown: a condition by itself.
    Truth,
    /// A part of a whole, compared with `1%`.
    Share,
    /// A number of things, compared with `100`.
    Count,
    /// A length of time, compared with `300ms`.
    Duration,
    /// A point in time, for `age`.
    Moment,
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Truth => "a condition",
            Self::Share => "a share",
            Self::Count => "a count",
            Self::Duration => "a duration",
            Self::Moment => "a moment",
        })
    }
}

/// What may stand as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// The name of a probe, else of a service that has probes.
    Probed,
    /// The name of a probe, else of a service.
    Heard,
    /// The name of a probe.
    Probe,
    /// The name of a service: `shop` or `shop@staging`.
    Service,
    /// The name of a backup.
    Job,
    /// A duration of 10 s to 7 d, in whole seconds.
    Window,
    /// A duration of more than 0 to 1 d.
    Latency,
    /// A function that gives a moment.
    Moment,
}

/// An argument of a function.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name, as in `over = 300ms`.
    pub name: &'static str,
    /// What it may be.
    pub kind: ParameterKind,
    /// It must be written with its name.
    pub by_name: bool,
}

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// Its name; `pNN` stands for every percentile.
    pub name: &'static str,
    /// Its arguments, all of them mandatory.
    pub parameters: &'static [Parameter],
    /// What it gives.
    pub result: Type,
    /// What it is for, in one sentence.
    pub summary: &'static str,
    /// A condition that uses it.
    pub example: &'static str,
    /// A limit to compare it with; empty when it is not compared.
    pub(super) limit: &'static str,
    /// Words that people try for it.
    pub(super) also: &'static [&'static str],
    pub(super) build: fn(&[Bound]) -> Option<Value>,
}

impl Function {
    /// How it is called: `share(service, over = latency, window)`.
    #[must_use]
    pub fn signature(&self) -> String {
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|parameter| {
                if parameter.by_name {
                    format!("{} = latency", parameter.name)
                } else {
                    parameter.name.to_owned()
                }
            })
            .collect();
        format!("{}({})", self.name, parameters.join(", "))
    }
}

/// Every function of the language, for help and documentation.
#[must_use]
pub fn functions() -> &'static [Function] {
    FUNCTIONS
}

/// An argument whose name and bounds were checked.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    /// The number in `pNN`, in front of the other arguments.
    Percentile(Share),
    Target(Target),
    /// A probe, service or job.
    Name(String),
    Window(SignedDuration),
    Latency(SignedDuration),
    Moment(Age),
}

const fn parameter(name: &'static str, kind: ParameterKind) -> Parameter {
    Parameter {
        name,
        kind,
        by_name: false,
    }
}

const SERVICE: Parameter = parameter("service", ParameterKind::Service);
const WINDOW: Parameter = parameter("window", ParameterKind::Window);

/// The name under which the percentiles stand in the table.
const PERCENTILE: &str = "pNN";

static FUNCTIONS: &[Function] = &[
    Function {
        name: "up",
        parameters: &[parameter("name", ParameterKind::Probed)],
        result: Type::Truth,
        summary: "true when the probe of this name passes, else when all probes of the service of this name pass; unknown when a probe cannot tell",
        example: "not up(shop)",
        limit: "",
        also: &[
            "uptime",
            "alive",
            "healthy",
            "health",
            "probe",
            "reachable",
            "available",
        ],
        build: |arguments| match arguments {
            [Bound::Target(target)] => Some(Value::Fact(Fact::Up(target.clone()))),
            _ => None,
        },
    },
    Function {
        name: "missing",
        parameters: &[parameter("name", ParameterKind::Heard), WINDOW],
        result: Type::Truth,
        summary: "true when nothing was heard for the window: no result of the probe of this name, else no telemetry and no result of the service of this name",
        example: "missing(shop, 10m)",
        limit: "",
        also: &["absent", "silent", "no_data", "nodata", "stale"],
        build: |arguments| match arguments {
            [Bound::Target(target), Bound::Window(window)] => Some(Value::Fact(Fact::Missing(target.clone(), *window))),
            _ => None,
        },
    },
    Function {
        name: "error_rate",
        parameters: &[SERVICE, WINDOW],
        result: Type::Share,
        summary: "the share of the requests within the window that failed (span status ERROR, or HTTP status 500 and above); unknown without a request",
        example: "error_rate(shop, 5m) > 1%",
        limit: "1%",
        also: &["errors", "error_ratio", "error_share", "failure_rate", "failures"],
        build: |arguments| match arguments {
            [Bound::Name(service), Bound::Window(window)] => Some(Value::Fraction(Fraction::Errors {
                service: service.clone(),
                window: *window,
            })),
            _ => None,
        },
    },
    Function {
        name: "requests",
        parameters: &[SERVICE, WINDOW],
        result: Type::Count,
        summary: "the number of requests within the window (spans of kind SERVER or CONSUMER)",
        example: "requests(shop, 5m) >= 100",
        limit: "100",
        also: &["request_count", "traffic", "throughput", "rps"],
        build: |arguments| match arguments {
            [Bound::Name(service), Bound::Window(window)] => Some(Value::Number(Number::Requests {
                service: service.clone(),
                window: *window,
            })),
            _ => None,
        },
    },
    Function {
        name: "share",
        parameters: &[
            SERVICE,
            Parameter {
                name: "over",
                kind: ParameterKind::Latency,
                by_name: true,
            },
            WINDOW,
        ],
        result: Type::Share,
        summary: "the share of the requests within the window that took longer than `over`; unknown without a request",
        example: "share(shop, over = 300ms, 10m) > 5%",
        limit: "5%",
        also: &["slow", "slow_rate", "slower"],
        build: |arguments| match arguments {
            [Bound::Name(service), Bound::Latency(over), Bound::Window(window)] => {
                Some(Value::Fraction(Fraction::Over {
                    service: service.clone(),
                    over: *over,
                    window: *window,
                }))
            }
            _ => None,
        },
    },
    Function {
        name: PERCENTILE,
        parameters: &[SERVICE, WINDOW],
        result: Type::Duration,
        summary: "a percentile of the latency within the window: p50, p95, p99, p99.9; `p95(shop, 10m) > 300ms` says that more than 5 % took longer than 300 ms",
        example: "p95(shop, 10m) > 300ms",
        limit: "300ms",
        also: &[
            "latency",
            "percentile",
            "quantile",
            "duration",
            "response_time",
            "median",
        ],
        build: |arguments| match arguments {
            [
                Bound::Percentile(percentile),
                Bound::Name(service),
                Bound::Window(window),
            ] => Some(Value::Duration(Duration::Percentile {
                percentile: *percentile,
                service: service.clone(),
                window: *window,
            })),
            _ => None,
        },
    },
    Function {
        name: "age",
        parameters: &[parameter("moment", ParameterKind::Moment)],
        result: Type::Duration,
        summary: "how long ago something happened: `proved(job)` or `deployed(service)`",
        example: "age(proved(nightly)) > 26h",
        limit: "26h",
        also: &["since", "elapsed", "older"],
        build: |arguments| match arguments {
            [Bound::Moment(age)] => Some(Value::Duration(Duration::Age(age.clone()))),
            _ => None,
        },
    },
    Function {
        name: "proved",
        parameters: &[parameter("job", ParameterKind::Job)],
        result: Type::Moment,
        summary: "when a copy of this backup was last proved by a restore; never yet: when the backup was first configured",
        example: "age(proved(nightly)) > 26h",
        limit: "",
        also: &["backup", "restored", "verified", "backed_up"],
        build: |arguments| match arguments {
            [Bound::Name(job)] => Some(Value::Moment(Age::Proved(job.clone()))),
            _ => None,
        },
    },
    Function {
        name: "deployed",
        parameters: &[SERVICE],
        result: Type::Moment,
        summary: "when the service was last deployed; unknown before the first deployment",
        example: "age(deployed(shop)) < 30m",
        limit: "",
        also: &["deployment", "deploy", "released", "release"],
        build: |arguments| match arguments {
            [Bound::Name(service)] => Some(Value::Moment(Age::Deployed(service.clone()))),
            _ => None,
        },
    },
    Function {
        name: "expires",
        parameters: &[parameter("probe", ParameterKind::Probe)],
        result: Type::Duration,
        summary: "how long the certificate that the probe last saw is still valid",
        example: "expires(shop) < 14d",
        limit: "14d",
        also: &["certificate", "cert", "expiry", "tls", "ssl", "cert_expiry"],
        build: |arguments| match arguments {
            [Bound::Name(probe)] => Some(Value::Duration(Duration::Expires(probe.clone()))),
            _ => None,
        },
    },
];

/// The function of this name, and the percentile that the name says.
pub(super) fn find(name: &str) -> Option<(&'static Function, Result<Option<Share>, Refusal>)> {
    let (row, percentile) = match Share::from_percentile(name) {
        Some(percentile) => (PERCENTILE, percentile.map(Some)),
        None => (name, Ok(None)),
    };
    let found = FUNCTIONS
        .iter()
        .find(|function| function.name == row && name != PERCENTILE)?;
    Some((found, percentile))
}

/// The function that was probably meant.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let shown = |function: &Function| {
        if function.name == PERCENTILE {
            "p95"
        } else {
            function.name
        }
    };
    let tried = FUNCTIONS
        .iter()
        .find(|function| function.also.contains(&lower.as_str()));
    tried
        .map(shown)
        .or_else(|| closest(&lower, FUNCTIONS.iter().map(shown)))
}
