//! The vocabulary of Watchkeep and its pure core: facts, moments, views, reactors, jobs, telemetry, and the fold that
//! turns inputs into a commit. No IO, no clock, no randomness.

pub mod aggregate;
pub mod encode;
mod fact;
pub mod filter;
mod fold;
pub mod histogram;
mod job;
mod name;
mod probe;
mod reactor;
pub mod replay;
mod telemetry;
mod time;
mod views;

pub use self::{
    aggregate::{Bin, Bins, Dictionary, Series},
    fact::*,
    filter::Filter,
    fold::*,
    histogram::Histogram,
    job::*,
    name::*,
    probe::*,
    reactor::*,
    telemetry::*,
    time::*,
    views::*,
};
