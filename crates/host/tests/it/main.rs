//! The daemon from outside: a socket, a request, an answer, and what became of the files of a host below a directory.

mod golden;
mod release;
mod sensors;
mod standins;
mod strip;
mod world;
