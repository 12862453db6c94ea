
/*
 * Copyright (C) the ngx_litestream authors
 */


#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>


static void cli_signal_handler(int signo);


volatile pid_t       cli_child;
volatile int         cli_child_signal = SIGKILL;

static char          cli_temporaries[8][PATH_MAX];
static volatile int  cli_temporaries_n;


int64_t
cli_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int64_t
cli_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


void
cli_sleep(int64_t ms)
{
    if (ms > 0) {
        (void) poll(NULL, 0, (int) (ms < INT_MAX ? ms : INT_MAX));
    }
}


/*
 * A file that this process, or what it runs, is about to make, and what may
 * be beside it: removed at the end, and when a signal comes.
 */

void
cli_temporary(const char *name)
{
    size_t  i;

    static const char  *tails[] = {
        "", "-wal", "-shm", "-journal",
        ".tmp", ".tmp-wal", ".tmp-shm", ".tmp-journal"
    };

    for (i = 0; i < sizeof(tails) / sizeof(char *); i++) {
        cli_copy(cli_temporaries[i], PATH_MAX, "%s%s", name, tails[i]);
    }

    cli_temporaries_n = (int) i;
}


void
cli_temporary_remove(void)
{
    int  i;

    for (i = 0; i < cli_temporaries_n; i++) {
        (void) unlink(cli_temporaries[i]);
    }

    cli_temporaries_n = 0;
}


/* nothing has to be tidied up but a child and its files */

void
cli_signals(void)
{
    size_t            i;
    struct sigaction  sa, old;

    static int  signals[] = { SIGINT, SIGTERM, SIGHUP };

    for (i = 0; i < sizeof(signals) / sizeof(int); i++) {

        /* nohup */

        if (sigaction(signals[i], NULL, &old) == 0
            && old.sa_handler == SIG_IGN)
        {
            continue;
        }

        memset(&sa, 0, sizeof(struct sigaction));

        sa.sa_handler = cli_signal_handler;
        (void) sigfillset(&sa.sa_mask);
        (void) sigaction(signals[i], &sa, NULL);
    }
}


static void
cli_signal_handler(int signo)
{
    if (cli_child > 1) {
        (void) kill(-cli_child, cli_child_signal);

        /* it makes no file any more then, or has removed its own */

        if (cli_temporaries_n || cli_child_signal != SIGKILL) {
            (void) waitpid(cli_child, NULL, 0);
        }
    }

    cli_temporary_remove();

    _exit(128 + signo);
}


void
cli_copy(char *dst, size_t size, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);

    if (vsnprintf(dst, size, fmt, args) < 0) {
        dst[0] = '\0';
    }

    va_end(args);
}


void
cli_error(const char *fmt, ...)
{
    char     text[3 * CLI_ERROR_LEN], line[12 * CLI_ERROR_LEN];
    va_list  args;

    va_start(args, fmt);

    if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
        text[0] = '\0';
    }

    va_end(args);

    (void) fflush(stdout);

    (void) cli_escape(line, sizeof(line), text);
    (void) fprintf(stderr, "nginx-litestream: %s\n", line);
}


void
cli_say(const char *fmt, ...)
{
    char     text[3 * CLI_ERROR_LEN], line[12 * CLI_ERROR_LEN];
    va_list  args;

    va_start(args, fmt);

    if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
        text[0] = '\0';
    }

    va_end(args);

    (void) cli_escape(line, sizeof(line), text);
    (void) printf("%s\n", line);
}


void
cli_fail(cli_options_t *o, const char *fmt, ...)
{
    char     text[3 * CLI_ERROR_LEN];
    va_list  args;

    va_start(args, fmt);

    if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
        text[0] = '\0';
    }

    va_end(args);

    if (o->json) {
        cli_json_error(text);
    }

    cli_error("%s", text);
}


void
cli_user(uid_t uid, char *buf, size_t size)
{
    struct passwd  *pw;

    pw = getpwuid(uid);

    if (pw) {
        cli_copy(buf, size, "user %s", pw->pw_name);

    } else {
        cli_copy(buf, size, "user %u", (unsigned) uid);
    }
}


int
cli_absolute(const char *name, char *path)
{
    int   n;
    char  cwd[PATH_MAX];

    cwd[0] = '\0';

    if (name[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL) {
        return CLI_NO;
    }

    n = snprintf(path, PATH_MAX, "%s%s%s", cwd, name[0] == '/' ? "" : "/",
                 name);

    if (n < 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return CLI_NO;
    }

    return CLI_YES;
}


/*
 * The length of the character at p and its code; 0: it is not valid UTF-8.
 */

size_t
cli_utf8(const unsigned char *p, size_t len, uint32_t *code)
{
    size_t    i, n;
    uint32_t  u, min;

    u = *p;

    if (u < 0x80) {
        *code = u;
        return 1;
    }

    if (u >= 0xc2 && u < 0xe0) {
        u &= 0x1f;
        min = 0x80;
        n = 2;

    } else if (u >= 0xe0 && u < 0xf0) {
        u &= 0x0f;
        min = 0x800;
        n = 3;

    } else if (u >= 0xf0 && u < 0xf5) {
        u &= 0x07;
        min = 0x10000;
        n = 4;

    } else {
        return 0;
    }

    if (len < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {

        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        u = (u << 6) | (p[i] & 0x3f);
    }

    if (u < min || u > 0x10ffff || (u >= 0xd800 && u < 0xe000)) {
        return 0;
    }

    *code = u;

    return n;
}


/* what a terminal acts on instead of showing it, or what turns lines around */

int
cli_invisible(uint32_t code)
{
    return code < 0x20
           || (code >= 0x7f && code < 0xa0)
           || (code >= 0x200b && code <= 0x200f)
           || (code >= 0x2028 && code <= 0x202e)
           || (code >= 0x2060 && code <= 0x206f)
           || code == 0xfeff;
}


size_t
cli_escape(char *dst, size_t size, const char *src)
{
    size_t                n, i, len, width;
    uint32_t              code;
    const unsigned char  *p;

    if (size == 0) {
        return 0;
    }

    width = 0;
    p = (const unsigned char *) src;
    len = strlen(src);

    while (len) {

        n = cli_utf8(p, len, &code);

        if (n && !cli_invisible(code)) {

            if (size <= n) {
                break;
            }

            memcpy(dst, p, n);

            dst += n;
            size -= n;
            width++;

        } else {

            if (n == 0) {
                n = 1;
            }

            if (size <= n * 4) {
                break;
            }

            for (i = 0; i < n; i++) {
                (void) snprintf(dst, size, "\\x%02x", p[i]);

                dst += 4;
                size -= 4;
                width += 4;
            }
        }

        p += n;
        len -= n;
    }

    *dst = '\0';

    return width;
}


int64_t
cli_time(const char *text)
{
    int      unit;
    size_t   i;
    int64_t  value, total;

    /* from the largest to the smallest, each once, as in nginx */

    static struct {
        const char  *name;
        int64_t      ms;
    } units[] = {
        { "y", 365LL * 86400 * 1000 },
        { "M", 30LL * 86400 * 1000 },
        { "w", 7LL * 86400 * 1000 },
        { "d", 86400LL * 1000 },
        { "h", 3600LL * 1000 },
        { "m", 60LL * 1000 },
        { "s", 1000 },
        { "ms", 1 }
    };

    total = 0;
    unit = -1;

    if (*text == '\0') {
        return -1;
    }

    while (*text) {

        if (*text < '0' || *text > '9') {
            return -1;
        }

        for (value = 0; *text >= '0' && *text <= '9'; text++) {
            value = value * 10 + (*text - '0');

            if (value > INT_MAX) {
                return -1;
            }
        }

        /* without a unit: seconds */

        if (*text == '\0') {
            i = 6;

        } else if (text[0] == 'm' && text[1] == 's') {
            i = 7;
            text += 2;

        } else {

            for (i = 0; i < 7; i++) {
                if (*text == units[i].name[0]) {
                    break;
                }
            }

            if (i == 7) {
                return -1;
            }

            text++;
        }

        if ((int) i <= unit || value > CLI_MAX_TIME / units[i].ms) {
            return -1;
        }

        unit = (int) i;
        total += value * units[i].ms;

        if (total > CLI_MAX_TIME) {
            return -1;
        }

        while (*text == ' ') {
            text++;
        }
    }

    return total;
}


void
cli_size(char *buf, size_t size, int64_t bytes)
{
    int     i;
    double  n;

    static const char  *units[] = { "", "K", "M", "G", "T", "P", "E" };

    if (bytes < 0) {
        cli_copy(buf, size, "-");
        return;
    }

    n = (double) bytes;

    for (i = 0; n >= 1023.95 && i < 6; i++) {
        n /= 1024;
    }

    cli_copy(buf, size, i ? "%.1f%s" : "%.0f%s", n, units[i]);
}


void
cli_span(char *buf, size_t size, int64_t ms)
{
    long long  s;

    s = ms / 1000;

    if (ms < 0) {
        cli_copy(buf, size, "-");

    } else if (s < 10) {
        cli_copy(buf, size, "%lld.%lds", s, (long) (ms % 1000 / 100));

    } else if (s < 120) {
        cli_copy(buf, size, "%llds", s);

    } else if (s < 7200) {
        cli_copy(buf, size, "%lldm%llds", s / 60, s % 60);

    } else if (s < 2 * 86400) {
        cli_copy(buf, size, "%lldh%lldm", s / 3600, s / 60 % 60);

    } else {
        cli_copy(buf, size, "%lldd%lldh", s / 86400, s / 3600 % 24);
    }
}


void
cli_date(char *buf, size_t size, int64_t ms, int fraction)
{
    time_t     t;
    struct tm  tm;

    t = (time_t) (ms / 1000);

    if (ms <= 0 || ms > CLI_MAX_TIME || gmtime_r(&t, &tm) == NULL) {
        cli_copy(buf, size, "-");
        return;
    }

    if (fraction) {
        cli_copy(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (ms % 1000));

    } else {
        cli_copy(buf, size, "%04d-%02d-%02dT%02d:%02d:%02dZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                 tm.tm_hour, tm.tm_min, tm.tm_sec);
    }
}
