//! What the tests run on: servers, a hermetic binary, the golden corpora.
