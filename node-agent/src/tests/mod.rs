//! The agent's parts between the directory and the API server: one file for each.

mod profiles;
mod reporter;
mod watches;
mod worker;
