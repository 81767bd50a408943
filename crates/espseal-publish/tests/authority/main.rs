//! The release authority from the outside: a project in a temporary folder, and what becomes
//! visible in its repository.

mod admission;
mod interruption;
mod oracle;
mod refusals;
mod rehearsal;
mod releases;
mod root;
mod support;
