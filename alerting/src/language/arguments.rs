//! The arguments of a call: put in their places, checked, names resolved.

use std::ops::Range;

use jiff::SignedDuration;

use super::{
    LATENCY_MAX, WINDOW_MAX, WINDOW_MIN,
    check::Checker,
    error::closest,
    expression::{Age, Value},
    functions::{Bound, Function, Parameter, ParameterKind},
    literal::{Literal, written},
    names::{BACKUP, PROBE, SERVICE},
    syntax::{Argument, Call, Kind, Syntax},
};

impl<'a> Checker<'a, '_> {
    /// The checked arguments in the order of the table; `None` when something was told.
    pub(super) fn arguments(&mut self, function: &Function, call: &Call<'a>, at: &Range<usize>) -> Option<Vec<Bound>> {
        self.latency_without_name(function, call)?;
        let mut places: Vec<Option<&Syntax<'a>>> = vec![None; function.parameters.len()];
        let mut fits = true;
        for argument in &call.arguments {
            fits &= self.place(function, call.name, &mut places, argument).is_some();
        }
        let mut bound = Vec::with_capacity(places.len());
        for (parameter, value) in function.parameters.iter().zip(places) {
            match value {
                Some(value) => bound.extend(self.argument(parameter, value)),
                // A misplaced argument was told already, and is probably the missing one.
                None if fits => {
                    let message = format!("`{}` needs its {}", call.name, described(parameter));
                    self.report.advise(at.clone(), message, usage(function, call.name));
                }
                None => {}
            }
        }
        (fits && bound.len() == function.parameters.len()).then_some(bound)
    }

    /// Puts an argument in its place.
    fn place<'s>(
        &mut self,
        function: &Function,
        name: &str,
        places: &mut [Option<&'s Syntax<'a>>],
        argument: &'s Argument<'a>,
    ) -> Option<()> {
        let index = match &argument.name {
            Some(given) => self.named(function, name, given)?,
            None => {
                let mut free = function.parameters.iter().zip(&*places);
                let Some(index) = free.position(|(parameter, place)| place.is_none() && !parameter.by_name) else {
                    let message = format!("`{name}` has no more arguments");
                    self.report
                        .advise(argument.value.at.clone(), message, usage(function, name));
                    return None;
                };
                index
            }
        };
        let place = places.get_mut(index)?;
        if let (Some(_), Some((given, given_at))) = (&place, &argument.name) {
            self.report.add(given_at.clone(), format!("`{given}` is given twice"));
            return None;
        }
        *place = Some(&argument.value);
        Some(())
    }

    /// Refuses `share(shop, 300ms, 10m)`: which of two durations is the latency must be said.
    fn latency_without_name(&mut self, function: &Function, call: &Call<'a>) -> Option<()> {
        let Some(named) = function.parameters.iter().find(|parameter| parameter.by_name) else {
            return Some(());
        };
        let positional = || call.arguments.iter().filter(|argument| argument.name.is_none());
        let mut durations = positional().filter(|it| matches!(it.value.kind, Kind::Literal(Literal::Duration(_))));
        match durations.next() {
            Some(first) if positional().count() >= function.parameters.len() => {
                let help = format!("write `{} = {}`", named.name, self.source(&first.value.at));
                self.report.advise(
                    first.value.at.clone(),
                    "which duration is the latency is not said",
                    help,
                );
                None
            }
            _ => Some(()),
        }
    }

    /// The place of an argument that is written with its name.
    fn named(&mut self, function: &Function, name: &str, (given, given_at): &(&'a str, Range<usize>)) -> Option<usize> {
        let mut names = function.parameters.iter().map(|parameter| parameter.name);
        let index = names.clone().position(|known| known == *given);
        if index.is_none() {
            let near = closest(given, &mut names);
            let help = near.map_or_else(|| usage(function, name), |near| format!("did you mean `{near}`?"));
            self.report
                .advise(given_at.clone(), format!("`{name}` has no argument `{given}`"), help);
        }
        index
    }

    fn argument(&mut self, parameter: &Parameter, value: &Syntax<'a>) -> Option<Bound> {
        let at = &value.at;
        match (parameter.kind, &value.kind) {
            (_, Kind::Broken) => None,
            (ParameterKind::Probed, Kind::Name(name)) => self.names.probed(name, at, self.report).map(Bound::Target),
            (ParameterKind::Heard, Kind::Name(name)) => self.names.heard(name, at, self.report).map(Bound::Target),
            (ParameterKind::Probe, Kind::Name(name)) => self.names.probe(name, at, self.report).map(Bound::Name),
            (ParameterKind::Service, Kind::Name(name)) => self.names.service(name, at, self.report).map(Bound::Name),
            (ParameterKind::Job, Kind::Name(name)) => self.names.job(name, at, self.report).map(Bound::Name),
            (ParameterKind::Window, Kind::Literal(Literal::Duration(window))) => {
                self.window(*window, at).map(Bound::Window)
            }
            (ParameterKind::Latency, Kind::Literal(Literal::Duration(limit))) => {
                self.latency(*limit, at).map(Bound::Latency)
            }
            (ParameterKind::Moment, Kind::Call(call)) => self.moment(call, at).map(Bound::Moment),
            (kind, _) => {
                let found = self.source(at);
                let message = format!("expected {}, found `{found}`", described(parameter));
                match self.advice(kind, &value.kind) {
                    Some(help) => self.report.advise(at.clone(), message, help),
                    None => self.report.add(at.clone(), message),
                }
                None
            }
        }
    }

    /// What to write instead of an argument of the wrong kind.
    fn advice(&self, kind: ParameterKind, found: &Kind<'_>) -> Option<String> {
        match (kind, found) {
            (ParameterKind::Moment, Kind::Name(name)) if self.names.jobs.contains(name) => {
                Some(format!("write `proved({name})`"))
            }
            (ParameterKind::Moment, Kind::Name(name)) if self.names.services.contains(name) => {
                Some(format!("write `deployed({name})`"))
            }
            (ParameterKind::Moment, _) => Some("write `proved(job)` or `deployed(service)`".to_owned()),
            (ParameterKind::Window, Kind::Literal(Literal::Count(count))) => {
                Some(format!("write its unit: `{count}m`"))
            }
            (ParameterKind::Window, _) => Some("a window is a duration such as `5m`".to_owned()),
            (ParameterKind::Latency, Kind::Literal(Literal::Count(count))) => {
                Some(format!("write its unit: `{count}ms`"))
            }
            (ParameterKind::Latency, _) => Some("a latency is a duration such as `300ms`".to_owned()),
            (_, Kind::Literal(_)) => Some("the name comes first".to_owned()),
            _ => None,
        }
    }

    fn window(&mut self, window: SignedDuration, at: &Range<usize>) -> Option<SignedDuration> {
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
            let message = format!(
                "a window is {} to {}, not {}",
                written(WINDOW_MIN),
                written(WINDOW_MAX),
                written(window)
            );
            self.report.add(at.clone(), message);
            return None;
        }
        if window.subsec_nanos() != 0 {
            self.report.add(
                at.clone(),
                format!("a window is a number of whole seconds, not {}", written(window)),
            );
            return None;
        }
        Some(window)
    }

    /// A latency that requests can be over.
    pub(super) fn latency(&mut self, limit: SignedDuration, at: &Range<usize>) -> Option<SignedDuration> {
        if limit.is_zero() || limit > LATENCY_MAX {
            let message = format!(
                "a latency limit is more than 0 and at most {}, not {}",
                written(LATENCY_MAX),
                written(limit)
            );
            self.report.add(at.clone(), message);
            return None;
        }
        Some(limit)
    }

    fn moment(&mut self, call: &Call<'a>, at: &Range<usize>) -> Option<Age> {
        let value = self.call(call, at)?;
        if let Value::Moment(age) = value {
            return Some(age);
        }
        let message = format!("`{}` is no moment, and only a moment has an age", self.source(at));
        self.report
            .advise(at.clone(), message, "write `proved(job)` or `deployed(service)`");
        None
    }
}

/// How the function is called, under the name it was called by.
pub(super) fn usage(function: &Function, name: &str) -> String {
    format!("write `{}`", function.signature().replacen(function.name, name, 1))
}

/// A parameter in words.
const fn described(parameter: &Parameter) -> &'static str {
    match parameter.kind {
        ParameterKind::Probed | ParameterKind::Heard => "probe or service",
        ParameterKind::Probe => PROBE,
        ParameterKind::Service => SERVICE,
        ParameterKind::Job => BACKUP,
        ParameterKind::Window => "window",
        ParameterKind::Latency => "latency",
        ParameterKind::Moment => "moment",
    }
}
