//! The servers, and where each comes from.

use crate::lab::Lab;
use crate::{dufs, etcd, haproxy, lighttpd, memcached, nginx, postgresql, redis, sqlite3};

/// A server, and how it is measured.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// The files that it needs, by a name that `e2e/derive-servers.sh` knows.
    pub(crate) files: &'static str,
    pub(crate) package: &'static str,
    /// The version that the figures in `docs/derive.md` are of.
    pub(crate) version: &'static str,
    pub(crate) program: &'static str,
    /// What it opens by names that its configuration has.
    pub(crate) modules: &'static [&'static str],
    /// Programs that its configuration or its users name, and that it starts.
    pub(crate) starts: &'static [&'static str],
    /// Whether it is one of the six whose mean F1 is compared with the published one.
    pub(crate) is_of_the_mean: bool,
    pub(crate) load: fn(&mut Lab),
}

pub(crate) const SERVERS: &[Server] = &[
    Server {
        name: "nginx",
        files: "six",
        package: "nginx",
        version: "1.22.1-9+deb12u11",
        program: "/usr/sbin/nginx",
        modules: &[],
        starts: &[],
        is_of_the_mean: true,
        load: nginx::load,
    },
    Server {
        name: "redis",
        files: "six",
        package: "redis-server",
        version: "5:7.0.15-1~deb12u10",
        program: "/usr/bin/redis-server",
        modules: &[],
        starts: &[],
        is_of_the_mean: true,
        load: redis::load,
    },
    Server {
        name: "memcached",
        files: "six",
        package: "memcached",
        version: "1.6.18-1+deb12u1",
        program: "/usr/bin/memcached",
        modules: &[],
        starts: &[],
        is_of_the_mean: true,
        load: memcached::load,
    },
    Server {
        name: "lighttpd",
        files: "six",
        package: "lighttpd",
        version: "1.4.69-1",
        program: "/usr/sbin/lighttpd",
        modules: lighttpd::MODULES,
        starts: &[],
        is_of_the_mean: true,
        load: lighttpd::load,
    },
    Server {
        name: "haproxy",
        files: "six",
        package: "haproxy",
        version: "2.6.12-1+deb12u4",
        program: "/usr/sbin/haproxy",
        modules: &[],
        starts: &[],
        is_of_the_mean: true,
        load: haproxy::load,
    },
    Server {
        name: "sqlite3",
        files: "six",
        package: "sqlite3",
        version: "3.40.1-2+deb12u2",
        program: "/usr/bin/sqlite3",
        modules: &[],
        starts: &[],
        is_of_the_mean: true,
        load: sqlite3::load,
    },
    Server {
        name: "postgresql",
        files: "postgresql",
        package: "postgresql-15",
        version: "15.20-0+deb12u1",
        program: "/usr/lib/postgresql/15/bin/postgres",
        modules: postgresql::MODULES,
        starts: postgresql::STARTS,
        is_of_the_mean: false,
        load: postgresql::load,
    },
    Server {
        name: "etcd",
        files: "etcd",
        package: "etcd",
        version: "3.7.3",
        program: "/usr/bin/etcd",
        modules: &[],
        starts: &[],
        is_of_the_mean: false,
        load: etcd::load,
    },
    Server {
        name: "dufs",
        files: "dufs",
        package: "dufs",
        version: "0.47.0",
        program: "/usr/bin/dufs",
        modules: &[],
        starts: &[],
        is_of_the_mean: false,
        load: dufs::load,
    },
];
