//! A checked expression, and what it says on given evidence.

use std::{cmp::Ordering, fmt};

use jiff::SignedDuration;

use super::{
    evidence::{Evidence, Unknown},
    literal::{Literal, Share},
    truth::Truth,
};

/// How a value is compared with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    NotEqual,
}

impl Comparison {
    /// Does a value that stands in this order to the limit fulfil the comparison?
    pub(super) const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }

    /// The same with the two sides exchanged.
    pub(super) const fn mirrored(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            same => same,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}

/// A probe, or a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Probe(String),
    Service(String),
}

impl Target {
    pub(super) fn name(&self) -> &str {
        let (Self::Probe(name) | Self::Service(name)) = self;
        name
    }
}

/// What is true or false by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Up(Target),
    Missing(Target, SignedDuration),
}

/// What gives a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fraction {
    Errors {
        service: String,
        window: SignedDuration,
    },
    Over {
        service: String,
        over: SignedDuration,
        window: SignedDuration,
    },
}

/// What gives a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Requests { service: String, window: SignedDuration },
}

/// What gives a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Duration {
    Percentile {
        percentile: Share,
        service: String,
        window: SignedDuration,
    },
    Age(Age),
    Expires(String),
}

/// A moment whose age is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Proved(String),
    Deployed(String),
}

/// What a call gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Fact(Fact),
    Fraction(Fraction),
    Number(Number),
    Duration(Duration),
    Moment(Age),
}

/// One condition without `and`, `or` and `not`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Fact(Fact),
    Fraction(Fraction, Comparison, Share),
    Number(Number, Comparison, u64),
    Duration(Duration, Comparison, SignedDuration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Two or more, none of them `or`.
    Or(Vec<Node>),
    /// Two or more, none of them `and`.
    And(Vec<Node>),
    Not(Box<Node>),
    Leaf(Condition),
}

/// A checked condition: every name in it exists, every type and unit fits. Its text is its [`Display`](fmt::Display).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(pub(super) Node);

impl Expression {
    /// What it says on this evidence. Allocates nothing; asks no more than it needs.
    #[must_use]
    pub fn evaluate(&self, evidence: &dyn Evidence) -> Truth {
        self.0.evaluate(evidence)
    }
}

impl Node {
    fn evaluate(&self, evidence: &dyn Evidence) -> Truth {
        match self {
            Self::Or(parts) => {
                let mut said = Truth::False;
                for part in parts {
                    said = said.or(part.evaluate(evidence));
                    if said == Truth::True {
                        break;
                    }
                }
                said
            }
            Self::And(parts) => {
                let mut said = Truth::True;
                for part in parts {
                    said = said.and(part.evaluate(evidence));
                    if said == Truth::False {
                        break;
                    }
                }
                said
            }
            Self::Not(inner) => !inner.evaluate(evidence),
            Self::Leaf(condition) => condition.judge(evidence).map_or(Truth::Unknown, Truth::from),
        }
    }

    /// Visits the conditions from left to right.
    pub(super) fn each_leaf<'n>(&'n self, visit: &mut impl FnMut(&'n Condition)) {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|part| part.each_leaf(visit)),
            Self::Not(inner) => inner.each_leaf(visit),
            Self::Leaf(condition) => visit(condition),
        }
    }
}

impl Fraction {
    /// Part and whole; a share of nothing is unknown.
    pub(super) fn read(&self, evidence: &dyn Evidence) -> Result<(u64, u64), Unknown> {
        let (part, whole) = match self {
            Self::Errors { service, window } => evidence.errors(service, *window)?,
            Self::Over { service, over, window } => evidence.over(service, *over, *window)?,
        };
        some(part, whole)
    }
}

/// A share of no requests at all says nothing.
pub(super) const fn some(part: u64, whole: u64) -> Result<(u64, u64), Unknown> {
    if whole == 0 {
        Err(Unknown(std::borrow::Cow::Borrowed("no requests")))
    } else {
        Ok((part, whole))
    }
}

impl Number {
    pub(super) fn read(&self, evidence: &dyn Evidence) -> Result<u64, Unknown> {
        let Self::Requests { service, window } = self;
        evidence.requests(service, *window)
    }
}

impl Age {
    pub(super) fn read(&self, evidence: &dyn Evidence) -> Result<SignedDuration, Unknown> {
        match self {
            Self::Proved(job) => evidence.proof_age(job),
            Self::Deployed(service) => evidence.deployed_age(service),
        }
    }
}

/// A percentile is over a limit exactly when a larger share than the rest is over it: `p95 > 300ms` is "more than 5 % over 300 ms".
/// A request of exactly the limit is not over it, so `>` and `>=` say the same here, and so do `<` and `<=`.
pub(super) fn percentile_holds(percentile: Share, comparison: Comparison, (over, of): (u64, u64)) -> bool {
    let is_over = percentile.rest().order(over, of).is_gt();
    match comparison {
        Comparison::Above | Comparison::AtLeast => is_over,
        _ => !is_over,
    }
}

impl Condition {
    /// Does it hold?
    pub(super) fn judge(&self, evidence: &dyn Evidence) -> Result<bool, Unknown> {
        Ok(match self {
            Self::Fact(Fact::Up(target)) => evidence.up(target.name())?,
            Self::Fact(Fact::Missing(target, window)) => evidence.silent_for(target.name())? >= *window,
            Self::Fraction(fraction, comparison, limit) => {
                let (part, whole) = fraction.read(evidence)?;
                comparison.holds(limit.order(part, whole))
            }
            Self::Number(number, comparison, limit) => comparison.holds(number.read(evidence)?.cmp(limit)),
            Self::Duration(
                Duration::Percentile {
                    percentile,
                    service,
                    window,
                },
                comparison,
                limit,
            ) => {
                let (over, of) = evidence.over(service, *limit, *window)?;
                percentile_holds(*percentile, *comparison, some(over, of)?)
            }
            Self::Duration(Duration::Age(age), comparison, limit) => comparison.holds(age.read(evidence)?.cmp(limit)),
            Self::Duration(Duration::Expires(probe), comparison, limit) => {
                comparison.holds(evidence.expires_in(probe)?.cmp(limit))
            }
        })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::Or(parts) => (parts, " or "),
            Self::And(parts) => (parts, " and "),
            Self::Not(inner) if matches!(**inner, Self::Or(_) | Self::And(_)) => {
                return write!(formatter, "not ({inner})");
            }
            Self::Not(inner) => return write!(formatter, "not {inner}"),
            Self::Leaf(condition) => return condition.fmt(formatter),
        };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                formatter.write_str(word)?;
            }
            // `and` binds closer than `or`; the parentheses are for people who do not know that by heart.
            match part {
                Self::Or(_) | Self::And(_) => write!(formatter, "({part})")?,
                _ => part.fmt(formatter)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.measured(), self.limit()) {
            (measured, Some((comparison, limit))) => write!(formatter, "{measured} {comparison} {limit}"),
            (measured, None) => formatter.write_str(&measured),
        }
    }
}

impl Condition {
    /// What is looked at: `error_rate(shop, 5m)`.
    pub(super) fn measured(&self) -> String {
        let window = |window: &SignedDuration| Literal::Duration(*window);
        match self {
            Self::Fact(Fact::Up(target)) => format!("up({})", Quoted(target.name())),
            Self::Fact(Fact::Missing(target, silence)) => {
                format!("missing({}, {})", Quoted(target.name()), window(silence))
            }
            Self::Fraction(Fraction::Errors { service, window: w }, ..) => {
                format!("error_rate({}, {})", Quoted(service), window(w))
            }
            Self::Fraction(
                Fraction::Over {
                    service,
                    over,
                    window: w,
                },
                ..,
            ) => {
                format!("share({}, over = {}, {})", Quoted(service), window(over), window(w))
            }
            Self::Number(Number::Requests { service, window: w }, ..) => {
                format!("requests({}, {})", Quoted(service), window(w))
            }
            Self::Duration(
                Duration::Percentile {
                    percentile,
                    service,
                    window: w,
                },
                ..,
            ) => {
                format!("p{}({}, {})", percentile.percent(), Quoted(service), window(w))
            }
            Self::Duration(Duration::Age(Age::Proved(job)), ..) => format!("age(proved({}))", Quoted(job)),
            Self::Duration(Duration::Age(Age::Deployed(service)), ..) => format!("age(deployed({}))", Quoted(service)),
            Self::Duration(Duration::Expires(probe), ..) => format!("expires({})", Quoted(probe)),
        }
    }

    /// What it is compared with, when it is.
    pub(super) const fn limit(&self) -> Option<(Comparison, Literal)> {
        match self {
            Self::Fact(_) => None,
            Self::Fraction(_, comparison, limit) => Some((*comparison, Literal::Share(*limit))),
            Self::Number(_, comparison, limit) => Some((*comparison, Literal::Count(*limit))),
            Self::Duration(_, comparison, limit) => Some((*comparison, Literal::Duration(*limit))),
        }
    }
}

/// A name as the language reads it: in quotes only where it must be.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = self;
        let keyword = ["and", "or", "not"].iter().any(|word| name.eq_ignore_ascii_case(word));
        let plain = name.starts_with(super::lexer::begins_word) && name.chars().all(super::lexer::in_word) && !keyword;
        match (plain, name.contains('"')) {
            (true, _) => formatter.write_str(name),
            (false, false) => write!(formatter, "\"{name}\""),
            (false, true) => write!(formatter, "'{name}'"),
        }
    }
}
