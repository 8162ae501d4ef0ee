/*
 * The floor under every encrypted figure: plain OpenSSL, TLS 1.3, mutual authentication with Ed25519 certificates made
 * at start, two processes, blocking sockets, TCP_NODELAY, nothing else.
 *
 *   tls echo [--count N]       round trips of 64 bytes
 *   tls bulk [--seconds S]     one-way stream in writes of 64 KiB; the clock stops when the receiver has confirmed
 *                              the last byte
 *   --cipher NAME              default TLS_AES_128_GCM_SHA256
 *
 * As fast as one can fairly make it: read-ahead on both sides, and for bulk a buffering BIO below the TLS layer, so
 * that the four records of a 64 KiB write leave in one system call (--buffer 0 turns it off).
 */
#include "../bench.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ECHO_SIZE = 64, BULK_SIZE = 64 * 1024, READ_BUFFER = 128 * 1024, WRITE_BUFFER = 80 * 1024 };

struct identity {
    EVP_PKEY *key;
    X509 *cert;
};

static void check(int ok, const char *what)
{
    if (ok)
        return;
    ERR_print_errors_fp(stderr);
    bench_die("%s failed", what);
}

static struct identity make_identity(const char *name)
{
    struct identity id = {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), X509_new()};
    check(id.key && id.cert, "key");
    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), 86400);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME *n = X509_get_subject_name(id.cert);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(id.cert, n);
    check(X509_sign(id.cert, id.key, NULL), "self-signature");
    return id;
}

/* A context that shows `self` and accepts nobody but `other`. */
static SSL_CTX *make_context(int server, struct identity *self, struct identity *other, const char *cipher)
{
    SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    check(c && SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION), "context");
    check(SSL_CTX_set_ciphersuites(c, cipher), "cipher");
    check(SSL_CTX_use_certificate(c, self->cert) && SSL_CTX_use_PrivateKey(c, self->key), "identity");
    check(X509_STORE_add_cert(SSL_CTX_get_cert_store(c), other->cert), "trust");
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_default_read_buffer_len(c, READ_BUFFER);
    SSL_CTX_set_num_tickets(c, 0);
    return c;
}

static SSL *handshake(int server, SSL_CTX *c, int fd, int write_buffer)
{
    SSL *s = SSL_new(c);
    check(s && SSL_set_fd(s, fd), "session");
    check((server ? SSL_accept(s) : SSL_connect(s)) == 1, "handshake");
    if (write_buffer) {
        BIO *buffer = BIO_new(BIO_f_buffer()), *below = SSL_get_wbio(s);
        check(buffer && BIO_set_write_buffer_size(buffer, write_buffer), "buffer");
        check(BIO_up_ref(below), "buffer");
        SSL_set0_wbio(s, BIO_push(buffer, below));
    }
    return s;
}

static void send_all(SSL *s, const void *data, size_t size)
{
    size_t n;
    check(SSL_write_ex(s, data, size, &n) && n == size, "write");
}

static void receive_all(SSL *s, char *data, size_t size)
{
    for (size_t n; size; data += n, size -= n)
        check(SSL_read_ex(s, data, size, &n), "read");
}

static void echo_server(SSL *s)
{
    char data[ECHO_SIZE];
    for (;;) {
        receive_all(s, data, sizeof data);
        if (data[0] == 'E')
            return;
        send_all(s, data, sizeof data);
    }
}

static void echo_client(SSL *s, struct bench_options *o)
{
    char data[ECHO_SIZE] = {0};
    struct bench_samples samples;
    bench_samples_init(&samples, (size_t)o->count);
    uint64_t begin = 0;
    for (long i = -o->count / 4; i < o->count; i++) {
        uint64_t start = bench_now_ns();
        if (!i)
            begin = start;
        send_all(s, data, sizeof data);
        receive_all(s, data, sizeof data);
        if (i >= 0)
            bench_samples_add(&samples, bench_now_ns() - start);
    }
    double rate = (double)o->count * 1e9 / (double)(bench_now_ns() - begin);
    data[0] = 'E';
    send_all(s, data, sizeof data);
    char extra[96];
    snprintf(extra, sizeof extra, "\"cipher\":\"%s\"", SSL_get_cipher_name(s));
    bench_report("echo64", rate, "round trips/s", &samples, extra);
}

/* Every 64 KiB piece starts with its kind: 0 data, 'E' answer me. */
static void bulk_server(SSL *s)
{
    char *data = malloc(BULK_SIZE), *piece = malloc(BULK_SIZE);
    check(data && piece, "memory");
    for (int marks = 0; marks < 2;) {
        receive_all(s, piece, BULK_SIZE);
        if (piece[0] != 'E')
            continue;
        marks++;
        send_all(s, piece, 1);
    }
}

static uint64_t stream_for(SSL *s, char *data, double seconds)
{
    uint64_t bytes = 0, end = bench_now_ns() + (uint64_t)(seconds * 1e9);
    char answer;
    data[0] = 0;
    do {
        send_all(s, data, BULK_SIZE);
        bytes += BULK_SIZE;
        (void)BIO_flush(SSL_get_wbio(s));
    } while (bench_now_ns() < end);
    data[0] = 'E';
    send_all(s, data, BULK_SIZE);
    (void)BIO_flush(SSL_get_wbio(s));
    receive_all(s, &answer, 1);
    return bytes + BULK_SIZE;
}

static void bulk_client(SSL *s, struct bench_options *o)
{
    char *data = calloc(1, BULK_SIZE);
    check(data != NULL, "memory");
    for (size_t i = 0; i < BULK_SIZE; i++)
        data[i] = (char)(i * 131);
    stream_for(s, data, o->seconds / 4);
    uint64_t start = bench_now_ns(), bytes = stream_for(s, data, o->seconds);
    double rate = (double)bytes * 1e9 / (double)(bench_now_ns() - start);
    char extra[96];
    snprintf(extra, sizeof extra, "\"cipher\":\"%s\"", SSL_get_cipher_name(s));
    bench_report("bulk64k", rate, "B/s", NULL, extra);
}

int main(int argc, char **argv)
{
    struct bench_options o = {.seconds = 3, .count = 40000};
    bench_parse(argc, argv, &o);
    const char *verb = argc > 1 ? argv[1] : "", *cipher = bench_option(argc, argv, "--cipher", "TLS_AES_128_GCM_SHA256");
    int bulk = !strcmp(verb, "bulk"), buffer = bulk ? atoi(bench_option(argc, argv, "--buffer", "1")) * WRITE_BUFFER : 0;
    if (!bulk && strcmp(verb, "echo"))
        bench_die("usage: tls echo|bulk [--count N] [--seconds S] [--cipher NAME] [--buffer 0|1]");
    bench_deadline(90);
    struct identity a = make_identity("a"), b = make_identity("b");
    int port = 0, listener = bench_listen(&port);
    pid_t child = bench_fork();
    if (!child) {
        SSL *s = handshake(1, make_context(1, &a, &b, cipher), bench_accept(listener), 0);
        bulk ? bulk_server(s) : echo_server(s);
        _exit(0);
    }
    SSL *s = handshake(0, make_context(0, &b, &a, cipher), bench_connect(port, 5000), buffer);
    bulk ? bulk_client(s, &o) : echo_client(s, &o);
    bench_wait(child);
    return 0;
}
