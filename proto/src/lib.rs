//! The gRPC contracts of unclip and their generated code.
