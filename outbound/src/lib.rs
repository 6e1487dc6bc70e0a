//! How we reach out: one HTTP client, one resolver, one network policy, one set of trusted roots, and a deadline around
//! everything. Whoever talks to the world takes a [`Context`]; nobody makes a client or resolves a name by itself.

pub mod child;
mod connect;
mod context;
mod deadline;
mod finding;
mod policy;
mod resolver;
mod target;
mod tls;
mod words;

pub use self::{
    connect::{ConnectError, Connected},
    context::{Context, ContextError, ContextOptions, USER_AGENT},
    deadline::{TimedOut, within},
    finding::{Finding, FindingState, chain},
    policy::{AddressKind, Forbidden, Policy},
    resolver::{ResolveError, Resolver},
    target::{is_private_address, is_private_target},
    tls::{Tls, TlsError},
    words::in_words,
};
