//! End-to-end tests: the real processes, on free ports, over temporary directories.

mod answers;
mod bad_input;
mod bad_questions;
mod crash;
mod edges;
mod ends;
mod export;
mod facts;
mod feed;
mod findings;
mod maps;
mod model;
mod naive;
mod national;
mod oracle;
mod questions;
mod readme;
mod reform;
mod restart;
mod share;
mod submit;
mod support;
mod surface;
mod tidy;
mod transfer;
mod trust;
