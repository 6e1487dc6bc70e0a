//! What people and tools read: the API on the data folder's socket, and on TCP what needs no token on loopback.
//!
//! It decides nothing: it reads views and telemetry, and records requests that a reactor answers.

mod access;
pub mod api;
mod app;
pub mod ingest;
mod listen;
mod metrics;
mod problem;
mod readiness;
mod routes;

pub use self::{
    access::{Caller, Host, Scope, Who},
    app::{App, Described, DescribedAction, DescribedProbe},
    listen::{Members, bind_socket, serve_socket, serve_tcp},
    problem::Problem,
    readiness::{Readiness, readiness},
    routes::{Ask, ROUTES, Route, Verb, socket_router, tcp_router},
};
