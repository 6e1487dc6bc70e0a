//! What people and tools read: the API on the data folder's socket, and on TCP what needs no token on loopback.
//!
//! It decides nothing: it reads views and telemetry, and records requests that a reactor answers.

mod access;
pub mod answer;
mod api;
mod app;
pub mod ingest;
mod listen;
mod metrics;
mod problem;
mod readiness;
mod reference;
mod routes;
mod routing;

pub use self::{
    access::{Caller, Host, Scope, Who, user_name},
    answer::{Described, DescribedAction, DescribedProbe, Readiness},
    app::{App, Desk},
    listen::{Members, bind_socket, serve_socket, serve_tcp},
    problem::Problem,
    readiness::{Pulse, PulseChange, Pulses, readiness},
    reference::routes_markdown,
    routes::{Ask, ROUTES, Route, Verb},
    routing::{socket_router, tcp_router},
};
