//! One file per resource: decode the call, ask the broker one thing, build the answer.

pub(crate) mod acls;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod browse;
pub(crate) mod cluster;
pub(crate) mod dead_letters;
pub(crate) mod definitions;
pub(crate) mod docs;
pub(crate) mod groups;
pub(crate) mod offsets;
pub(crate) mod once;
pub(crate) mod operations;
pub(crate) mod publish;
pub(crate) mod queries;
pub(crate) mod quotas;
pub(crate) mod receive;
pub(crate) mod request;
pub(crate) mod roles;
pub(crate) mod settle;
pub(crate) mod stream;
pub(crate) mod tokens;
pub(crate) mod topics;
pub(crate) mod trace;
pub(crate) mod transactions;
pub(crate) mod upload;
pub(crate) mod users;
