//! End-to-end tests: the real processes, on free ports, over temporary directories.

mod answers;
mod bad_input;
mod crash;
mod ends;
mod feed;
mod findings;
mod naive;
mod readme;
mod restart;
mod share;
mod submit;
mod support;
mod surface;
mod tidy;
