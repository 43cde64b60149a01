//! The command line as the real program speaks it: help, exit codes, documents, tables, and what a kill leaves.

mod documents;
mod help;
mod killed;
mod pages;
mod reference;
mod root;
