# Shortcuts for `cargo xtask`: `just --list` shows them.

default:
    @just --list

# A temporary cluster with sample data, one run, its result
demo *args:
    cargo xtask demo {{args}}

# All tests; arguments go to `cargo test`
test *args:
    cargo xtask test {{args}}

# Everything that continuous integration runs
ci:
    cargo xtask ci

# Format the code
fmt:
    cargo fmt --all

# Lints, as errors
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Spelling of code and documents
typos:
    cargo xtask typos

# Links, anchors, cited files and tests of all pages
links:
    cargo test --package xtask --test pages

# The pages in docs/ as a book: target/book/index.html
docs:
    cargo xtask docs

# Licenses, sources, duplicates and advisories of all crates
deny:
    cargo xtask deny

# What the binary is made of, as CycloneDX
sbom *args:
    cargo xtask sbom {{args}}

# Compare with other ways to clean up
bench *args:
    cargo xtask bench {{args}}

# The end-to-end suite on other server versions
matrix *args:
    cargo xtask matrix {{args}}

# Large counts and hostile peers
soak *args:
    cargo xtask soak {{args}}

# What deploy/ gives to users
deploy-check *args:
    cargo xtask deploy-check {{args}}

# The tours of the page in Chromium
browser:
    cargo xtask browser

# Hostile bytes for every decoder
fuzz *args:
    cargo xtask fuzz {{args}}

# Accept the current help texts and pages as the new snapshots
snapshots:
    INSTA_UPDATE=always cargo test --package keysweep --test commands -- help:: pages::
