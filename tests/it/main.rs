//! End-to-end tests: the real processes, on free ports, over temporary directories.

mod answers;
mod crash;
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
