//! The system calls that an `exec` task may make, by their numbers on this architecture.
//!
//! Closed on purpose: mounting and namespaces (`mount`, `unshare`, `setns`, `pivot_root`, the new mount calls, and the namespace flags of
//! `clone`), loading code into the kernel (modules, `bpf`, `kexec_*`), the machine (`reboot`, `swapon`, clocks, `syslog`, ports), the keyring,
//! `perf_event_open`, `userfaultfd`, `io_uring_*` (it bypasses this very filter), `ptrace` and reading other processes' memory, and
//! file handles (`open_by_handle_at` walks out of a container).

/// The newest call that this list knows (`file_setattr` of Linux 6.17). A call that is newer is answered "not implemented", so that C
/// libraries fall back to what they did before it existed; an older one that is not listed is answered "not permitted".
pub(super) const NEWEST_KNOWN: libc::c_long = 469;

macro_rules! numbers {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// Files and directories.
const FILES: &[libc::c_long] = numbers! {
    SYS_chdir SYS_close SYS_close_range SYS_copy_file_range SYS_dup SYS_dup3 SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_getcwd SYS_getdents64 SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch SYS_ioctl SYS_lgetxattr SYS_linkat SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr SYS_mkdirat SYS_mknodat SYS_newfstatat SYS_openat SYS_openat2 SYS_pread64 SYS_preadv SYS_preadv2 SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead SYS_readlinkat SYS_readv SYS_removexattr SYS_renameat2 SYS_sendfile SYS_setxattr SYS_splice SYS_statfs SYS_statx SYS_symlinkat SYS_sync SYS_syncfs SYS_tee SYS_truncate SYS_umask SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_write SYS_writev SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self
};

/// Memory.
const MEMORY: &[libc::c_long] = numbers! {
    SYS_brk SYS_madvise SYS_membarrier SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mlock SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mremap SYS_mseal SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_process_madvise SYS_process_mrelease SYS_remap_file_pages
};

/// Processes, threads and signals.
const PROCESSES: &[libc::c_long] = numbers! {
    SYS_capget SYS_capset SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_futex SYS_futex_waitv SYS_get_robust_list SYS_getcpu SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpgid SYS_getpid SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrusage SYS_getsid SYS_gettid SYS_getuid SYS_ioprio_get SYS_ioprio_set SYS_kill SYS_nanosleep SYS_pidfd_open SYS_pidfd_send_signal SYS_prctl SYS_prlimit64 SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_set_robust_list SYS_set_tid_address SYS_setfsgid SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid SYS_setsid SYS_setuid SYS_sigaltstack SYS_signalfd4 SYS_sysinfo SYS_tgkill SYS_times SYS_tkill SYS_uname SYS_wait4 SYS_waitid
};

/// Clocks that are read and timers.
const TIME: &[libc::c_long] = numbers! {
    SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_gettimeofday SYS_timer_create SYS_timer_delete SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime
};

/// Waiting, pipes, sockets and System V IPC (which has a namespace of its own here).
const COMMUNICATION: &[libc::c_long] = numbers! {
    SYS_accept SYS_accept4 SYS_bind SYS_connect SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_getpeername SYS_getsockname SYS_getsockopt SYS_io_cancel SYS_io_destroy SYS_io_getevents SYS_io_setup SYS_io_submit SYS_listen SYS_mq_getsetattr SYS_mq_notify SYS_mq_open SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_pipe2 SYS_ppoll SYS_pselect6 SYS_recvfrom SYS_recvmmsg SYS_recvmsg SYS_semctl SYS_semget SYS_semop SYS_semtimedop SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_setsockopt SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget SYS_shutdown SYS_socketpair
};

/// Calls that newer architectures have dropped for a more general one.
#[cfg(target_arch = "x86_64")]
const OLD: &[libc::c_long] = numbers! {
    SYS_access SYS_chmod SYS_chown SYS_creat SYS_dup2 SYS_futimesat SYS_getdents SYS_inotify_init SYS_lchown SYS_link SYS_lstat SYS_mkdir SYS_mknod SYS_open SYS_readlink SYS_rename SYS_renameat SYS_rmdir SYS_stat SYS_symlink SYS_sync_file_range SYS_unlink SYS_utime SYS_utimes SYS_alarm SYS_arch_prctl SYS_fork SYS_get_thread_area SYS_getpgrp SYS_getrlimit SYS_modify_ldt SYS_pause SYS_set_thread_area SYS_setrlimit SYS_signalfd SYS_time SYS_vfork SYS_epoll_create SYS_epoll_ctl_old SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_pipe SYS_poll SYS_select
};
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[libc::c_long] = &[];

/// Calls that the libc crate has no name for. From 424 on numbers are the same on every architecture.
const NEW: &[libc::c_long] = &[
    451, // cachestat
    452, // fchmodat2
    453, // map_shadow_stack
    454, // futex_wake
    455, // futex_wait
    456, // futex_requeue
    463, // setxattrat
    464, // getxattrat
    465, // listxattrat
    466, // removexattrat
];

/// Every call that is allowed whatever its arguments are, sorted.
pub(super) fn allowed() -> Vec<libc::c_long> {
    let mut all: Vec<libc::c_long> = [FILES, MEMORY, PROCESSES, TIME, COMMUNICATION, OLD, NEW].concat();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_calls_are_not_on_the_list() {
        let closed: &[libc::c_long] = numbers! {
            SYS_mount SYS_umount2 SYS_unshare SYS_setns SYS_pivot_root SYS_chroot SYS_open_tree SYS_move_mount SYS_fsopen SYS_fsmount SYS_fsconfig
            SYS_mount_setattr SYS_keyctl SYS_add_key SYS_request_key SYS_bpf SYS_perf_event_open SYS_ptrace SYS_process_vm_readv
            SYS_process_vm_writev SYS_pidfd_getfd SYS_kexec_load SYS_init_module SYS_finit_module SYS_delete_module SYS_swapon SYS_swapoff SYS_reboot
            SYS_open_by_handle_at SYS_name_to_handle_at SYS_userfaultfd SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_syslog
            SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_acct SYS_quotactl SYS_vhangup SYS_sethostname SYS_setdomainname
            SYS_kcmp SYS_clone SYS_clone3 SYS_socket SYS_personality
        };
        let allowed = allowed();
        for number in closed {
            assert!(!allowed.contains(number), "call {number} must not be allowed");
        }
    }

    #[test]
    fn the_list_is_sorted_within_bounds_and_without_doubles() {
        let allowed = allowed();
        assert!(allowed.windows(2).all(|pair| pair.first() < pair.last()));
        assert!(allowed.iter().all(|number| (0..=NEWEST_KNOWN).contains(number)));
    }
}
