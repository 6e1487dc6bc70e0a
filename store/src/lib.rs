//! The record: the journal (facts, views, jobs) and telemetry, on SQLite and Parquet.

mod commit;
mod error;
mod folder;
mod jobs;
mod journal;
mod options;
pub mod telemetry;
mod tick;

pub use self::{
    commit::{Expected, QUEUE_BYTES, QUEUE_MAX, Writer},
    error::{StoreError, chain_of},
    folder::{Folder, Holder, RESERVE_BYTES, Room, Space, TELEMETRY_AHEAD_BYTES, sync_directory},
    jobs::{Begun, JobStatus, Jobs, Taken},
    journal::{
        ChainDamage, ChainReport, Committed, FactQuery, Journal, PAGE_MAX, Page, Reader, Releases, ViewRow, ViewsGuard,
    },
    options::{Acknowledge, FaultPoint, Faults, Options, Synchronous},
    tick::{NoTelemetry, Store, TickPart, TickSource},
};
