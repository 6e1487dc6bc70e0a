//! From a tree to an [`Expression`]: functions, names, types and units.

use std::ops::Range;

use jiff::SignedDuration;

use super::{
    TEXT_BYTES_MAX,
    arguments::usage,
    error::{LanguageError, Report},
    expression::{Comparison, Condition, Duration, Expression, Node, Value},
    functions::{self, Bound, Function, Type},
    lexer,
    literal::{Literal, Share},
    names::{BACKUP, Names},
    syntax::{self, Call, Kind, Syntax},
};

/// Reads a condition.
///
/// # Errors
/// Everything that is wrong with the text, by place: at least one error, at most [`ERRORS_MAX`](super::ERRORS_MAX).
pub fn parse(text: &str, names: &Names<'_>) -> Result<Expression, Vec<LanguageError>> {
    let mut report = Report::default();
    if text.len() > TEXT_BYTES_MAX {
        report.add(
            0..text.len(),
            format!(
                "the condition has {} bytes, at most {TEXT_BYTES_MAX} are read",
                text.len()
            ),
        );
        return Err(report.into_errors());
    }
    let tokens = lexer::tokens(text, &mut report);
    if tokens.is_empty() {
        report.advise(
            0..text.len(),
            "the condition is empty",
            "write one such as `not up(shop)`",
        );
        return Err(report.into_errors());
    }
    let tree = syntax::tree(text, &tokens, &mut report);
    let node = Checker {
        text,
        names,
        report: &mut report,
    }
    .node(&tree);
    match node {
        Some(node) if report.is_empty() => Ok(Expression(node)),
        _ => {
            if report.is_empty() {
                report.add(0..text.len(), "this is no condition");
            }
            Err(report.into_errors())
        }
    }
}

/// Checks one tree. Every method gives `None` when something was told, now or when the tree was read.
pub(super) struct Checker<'a, 'r> {
    pub(super) text: &'a str,
    pub(super) names: &'r Names<'r>,
    pub(super) report: &'r mut Report,
}

/// A comparison whose literal stands on the right.
struct Compared<'s> {
    comparison: Comparison,
    limit: Literal,
    limit_at: &'s Range<usize>,
    /// The whole of it.
    at: &'s Range<usize>,
    /// What is compared, as it was written.
    measured: &'s str,
    /// How the function is called.
    function: &'static Function,
}

impl<'a> Checker<'a, '_> {
    pub(super) fn source(&self, at: &Range<usize>) -> &'a str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    fn node(&mut self, syntax: &Syntax<'a>) -> Option<Node> {
        match &syntax.kind {
            Kind::Or(parts) => self.parts(parts, Node::Or, |node| match node {
                Node::Or(parts) => Ok(parts),
                other => Err(other),
            }),
            Kind::And(parts) => self.parts(parts, Node::And, |node| match node {
                Node::And(parts) => Ok(parts),
                other => Err(other),
            }),
            Kind::Not(inner) => self.node(inner).map(|inner| Node::Not(Box::new(inner))),
            Kind::Compare(left, comparison, right) => {
                self.compare(&syntax.at, left, *comparison, right).map(Node::Leaf)
            }
            Kind::Call(call) => self.bare_call(call, &syntax.at).map(Node::Leaf),
            Kind::Name(name) => {
                self.bare_name(name, &syntax.at);
                None
            }
            Kind::Literal(_) => {
                self.report.add(
                    syntax.at.clone(),
                    format!("`{}` is no condition", self.source(&syntax.at)),
                );
                None
            }
            Kind::Broken => None,
        }
    }

    /// The parts of `and` or `or`; what is of the same kind inside is taken in.
    fn parts(
        &mut self,
        parts: &[Syntax<'a>],
        several: fn(Vec<Node>) -> Node,
        same: fn(Node) -> Result<Vec<Node>, Node>,
    ) -> Option<Node> {
        let mut nodes = Vec::with_capacity(parts.len());
        let mut whole = true;
        for part in parts {
            match self.node(part).map(same) {
                Some(Ok(inner)) => nodes.extend(inner),
                Some(Err(other)) => nodes.push(other),
                None => whole = false,
            }
        }
        whole.then(|| several(nodes))
    }

    fn bare_name(&mut self, name: &str, at: &Range<usize>) {
        let help = match self.names.kind_of(name) {
            Some(BACKUP) => Some(format!("write `age(proved({name})) > 26h`")),
            Some(_) => Some(format!("write `up({name})` or `not up({name})`")),
            None if functions::find(name).is_some() => functions::find(name).map(|(function, _)| usage(function, name)),
            None => functions::meant(name).map(|near| format!("did you mean `{near}(…)`?")),
        };
        match help {
            Some(help) => self
                .report
                .advise(at.clone(), format!("`{name}` is no condition"), help),
            None => self.report.add(at.clone(), format!("`{name}` is no condition")),
        }
    }

    fn bare_call(&mut self, call: &Call<'a>, at: &Range<usize>) -> Option<Condition> {
        let value = self.call(call, at)?;
        if let Value::Fact(fact) = value {
            return Some(Condition::Fact(fact));
        }
        let (function, _) = functions::find(call.name)?;
        let source = self.source(at);
        let message = format!("`{source}` is {} and no condition", function.result);
        let help = if function.result == Type::Moment {
            format!("write `age({source}) > 26h`")
        } else {
            format!("write `{source} > {}`", function.limit)
        };
        self.report.advise(at.clone(), message, help);
        None
    }

    /// What a call gives.
    pub(super) fn call(&mut self, call: &Call<'a>, at: &Range<usize>) -> Option<Value> {
        let Some((function, percentile)) = functions::find(call.name) else {
            self.unknown_function(call, at);
            return None;
        };
        if call.broken {
            return None;
        }
        let percentile = match percentile {
            Ok(percentile) => percentile.map(Bound::Percentile),
            Err(refusal) => {
                self.report
                    .advise(call.name_at.clone(), refusal.message, refusal.help.unwrap_or_default());
                return None;
            }
        };
        let mut bound: Vec<Bound> = percentile.into_iter().collect();
        bound.extend(self.arguments(function, call, at)?);
        let value = (function.build)(&bound);
        if value.is_none() {
            self.report
                .add(at.clone(), format!("`{}` cannot be used like this", call.name));
        }
        value
    }

    fn unknown_function(&mut self, call: &Call<'a>, at: &Range<usize>) {
        let message = format!("unknown function `{}`", call.name);
        if call.name.eq_ignore_ascii_case("down") {
            let arguments = self.source(&(call.name_at.end..at.end));
            self.report
                .advise(call.name_at.clone(), message, format!("write `not up{arguments}`"));
            return;
        }
        let help = functions::meant(call.name).map_or_else(
            || {
                let all: Vec<&str> = functions::functions().iter().map(|function| function.name).collect();
                format!("the functions are {}", all.join(", "))
            },
            |near| format!("did you mean `{near}`?"),
        );
        self.report.advise(call.name_at.clone(), message, help);
    }

    fn compare(
        &mut self,
        at: &Range<usize>,
        left: &Syntax<'a>,
        comparison: Comparison,
        right: &Syntax<'a>,
    ) -> Option<Condition> {
        match (&left.kind, &right.kind) {
            (Kind::Literal(_), Kind::Literal(_)) => {
                self.report.add(at.clone(), "two literals: there is nothing to watch");
                None
            }
            (Kind::Call(call), Kind::Literal(limit)) => {
                self.compare_call(at, (call, &left.at), comparison, (*limit, &right.at))
            }
            (Kind::Literal(limit), Kind::Call(call)) => {
                self.compare_call(at, (call, &right.at), comparison.mirrored(), (*limit, &left.at))
            }
            (Kind::Call(call), Kind::Name(word)) => self.compare_word(at, (call, &left.at), comparison, word),
            (Kind::Name(name), Kind::Literal(_)) => {
                self.bare_name(name, &left.at);
                None
            }
            (Kind::Literal(_), Kind::Name(name)) => {
                self.bare_name(name, &right.at);
                None
            }
            (Kind::Broken, _) | (_, Kind::Broken) => {
                self.look_into(left);
                self.look_into(right);
                None
            }
            _ => {
                let good = self.look_into(left) & self.look_into(right);
                if good {
                    let help = "write a function on one side and a literal such as `1%`, `100` or `300ms` on the other";
                    self.report
                        .advise(at.clone(), "a function is compared with a literal only", help);
                }
                None
            }
        }
    }

    /// Tells what is wrong inside a side of a comparison that cannot be used.
    fn look_into(&mut self, side: &Syntax<'a>) -> bool {
        match &side.kind {
            Kind::Call(call) => self.call(call, &side.at).is_some(),
            Kind::Name(_) | Kind::Literal(_) => true,
            Kind::Broken => false,
            Kind::Or(_) | Kind::And(_) | Kind::Not(_) | Kind::Compare(..) => self.node(side).is_some(),
        }
    }

    /// A comparison with a word: `up(shop) == fail`.
    fn compare_word(
        &mut self,
        at: &Range<usize>,
        (call, call_at): (&Call<'a>, &Range<usize>),
        comparison: Comparison,
        word: &str,
    ) -> Option<Condition> {
        let value = self.call(call, call_at)?;
        let source = self.source(call_at);
        let said = match word.to_ascii_lowercase().as_str() {
            "pass" | "true" | "up" | "ok" | "yes" => Some(true),
            "fail" | "false" | "down" | "failed" | "no" => Some(false),
            _ => None,
        };
        let (Value::Fact(_), Some(said)) = (&value, said) else {
            let help = "write a literal such as `1%`, `100` or `300ms`";
            self.report
                .advise(at.clone(), format!("`{source}` cannot be compared with `{word}`"), help);
            return None;
        };
        let not = if said == (comparison == Comparison::Equal) {
            ""
        } else {
            "not "
        };
        self.report.advise(
            at.clone(),
            format!("`{source}` is a condition by itself"),
            format!("write `{not}{source}`"),
        );
        None
    }

    fn compare_call(
        &mut self,
        at: &Range<usize>,
        (call, call_at): (&Call<'a>, &Range<usize>),
        comparison: Comparison,
        (limit, limit_at): (Literal, &Range<usize>),
    ) -> Option<Condition> {
        let value = self.call(call, call_at)?;
        let (function, _) = functions::find(call.name)?;
        let compared = Compared {
            comparison,
            limit,
            limit_at,
            at,
            measured: self.source(call_at),
            function,
        };
        let condition = match (value, limit) {
            (Value::Fraction(fraction), Literal::Share(share)) => {
                self.never_or_always(&compared, share == Share::NOTHING, share == Share::EVERYTHING)?;
                Condition::Fraction(fraction, comparison, share)
            }
            (Value::Number(number), Literal::Count(count)) => {
                self.never_or_always(&compared, count == 0, false)?;
                Condition::Number(number, comparison, count)
            }
            (Value::Duration(duration), Literal::Duration(length)) => {
                self.compare_duration(&compared, duration, length)?
            }
            (Value::Fact(_), _) => {
                let message = format!("`{}` is a condition by itself and is not compared", compared.measured);
                self.report.advise(
                    at.clone(),
                    message,
                    format!("write `{0}` or `not {0}`", compared.measured),
                );
                return None;
            }
            (Value::Moment(_), _) => {
                let message = format!("`{}` is a moment and is not compared", compared.measured);
                self.report.advise(
                    at.clone(),
                    message,
                    format!("write `age({}) {comparison} 26h`", compared.measured),
                );
                return None;
            }
            _ => {
                self.wrong_type(&compared);
                return None;
            }
        };
        Some(condition)
    }

    fn wrong_type(&mut self, compared: &Compared<'_>) {
        let Compared {
            comparison,
            limit,
            measured,
            function,
            ..
        } = compared;
        let message = format!("cannot compare {} with {}", function.result, limit.of_type());
        let unit = function.limit.trim_start_matches(|c: char| c.is_ascii_digit());
        let meant = match limit {
            Literal::Count(count) if function.result == Type::Duration || *count <= 100 => format!("{count}{unit}"),
            _ => function.limit.to_owned(),
        };
        self.report.advise(
            compared.limit_at.clone(),
            message,
            format!("write `{measured} {comparison} {meant}`"),
        );
    }

    fn compare_duration(
        &mut self,
        compared: &Compared<'_>,
        duration: Duration,
        limit: SignedDuration,
    ) -> Option<Condition> {
        if matches!(compared.comparison, Comparison::Equal | Comparison::NotEqual) {
            let help = format!("write `{} > {}`", compared.measured, compared.limit);
            self.report
                .advise(compared.at.clone(), "a duration is hardly ever exactly equal", help);
            return None;
        }
        match duration {
            Duration::Percentile { .. } => _ = self.latency(limit, compared.limit_at)?,
            Duration::Age(_) => self.never_or_always(compared, limit.is_zero(), false)?,
            Duration::Expires(_) => {}
        }
        Some(Condition::Duration(duration, compared.comparison, limit))
    }

    /// Refuses a comparison that evidence cannot change, as it is a mistake.
    fn never_or_always(&mut self, compared: &Compared<'_>, at_bottom: bool, at_top: bool) -> Option<()> {
        let said = match compared.comparison {
            Comparison::Below if at_bottom => "never",
            Comparison::AtLeast if at_bottom => "always",
            Comparison::Above if at_top => "never",
            Comparison::AtMost if at_top => "always",
            _ => return Some(()),
        };
        self.report
            .add(compared.at.clone(), format!("this is {said} true, whatever happens"));
        None
    }
}
