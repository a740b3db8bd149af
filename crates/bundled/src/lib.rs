//! The models that ship inside the program.
