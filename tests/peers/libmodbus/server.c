/* A Modbus server made with libmodbus: `server tcp PORT [delay_ms [connections]]` or `server rtu TTY`.
 *
 * Units 1 to 9 live, every other one is silent. All of them show the same 10,000 holding registers (r[i] = i),
 * input registers (the same), coils and discrete inputs (on where i % 3 == 0). r[0] counts the requests.
 * 3.14159f stands at 100 (ABCD), 102 (CDAB), 104 (BADC) and 106 (DCBA), written by hand because the library's
 * own helpers disagree about names; "ANDON-01" stands at 110. With a delay every answer is that late, on each
 * connection for itself. With a number of connections the ones beyond are closed at once. Prints READY.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGISTERS 10000
#define LAST_UNIT 9

static modbus_mapping_t *map;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int delay_ms, most, open_now;

static void fill(void) {
    static const uint16_t pi[8] = {0x4049, 0x0FD0, 0x0FD0, 0x4049, 0x4940, 0xD00F, 0xD00F, 0x4940};
    static const char name[] = "ANDON-01";
    map = modbus_mapping_new(REGISTERS, REGISTERS, REGISTERS, REGISTERS);
    if (map == NULL) exit(1);
    for (int i = 0; i < REGISTERS; i++) {
        map->tab_registers[i] = map->tab_input_registers[i] = i;
        map->tab_bits[i] = map->tab_input_bits[i] = i % 3 == 0;
    }
    memcpy(map->tab_registers + 100, pi, sizeof pi);
    for (int i = 0; i < 4; i++) map->tab_registers[110 + i] = name[2 * i] << 8 | name[2 * i + 1];
    map->tab_registers[0] = 0;
}

static int answer(modbus_t *ctx, const uint8_t *query, int length) {
    int result;
    if (delay_ms) usleep(delay_ms * 1000);
    pthread_mutex_lock(&turn);
    map->tab_registers[0]++;
    result = modbus_reply(ctx, query, length, map);
    pthread_mutex_unlock(&turn);
    return result;
}

static void *serve(void *given) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    int length, fd = (int)(long)given;
    modbus_set_socket(ctx, fd);
    while ((length = modbus_receive(ctx, query)) != -1) {
        if (length == 0 || query[6] < 1 || query[6] > LAST_UNIT) continue;
        if (answer(ctx, query, length) == -1) break;
    }
    close(fd);
    modbus_free(ctx);
    __sync_fetch_and_sub(&open_now, 1);
    return NULL;
}

static int serve_tcp(int port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, fd, door = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(door, (struct sockaddr *)&where, sizeof where) || listen(door, 64)) return perror("bind"), 1;
    printf("READY %d\n", port);
    fflush(stdout);
    while ((fd = accept(door, NULL, NULL)) != -1) {
        pthread_t thread;
        if (most && open_now >= most) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        __sync_fetch_and_add(&open_now, 1);
        pthread_create(&thread, NULL, serve, (void *)(long)fd);
        pthread_detach(thread);
    }
    return 1;
}

static uint16_t crc(const uint8_t *frame, int length) {
    uint16_t sum = 0xFFFF;
    while (length--) {
        sum ^= *frame++;
        for (int bit = 0; bit < 8; bit++) sum = sum & 1 ? sum >> 1 ^ 0xA001 : sum >> 1;
    }
    return sum;
}

/* Several units on one line: the library's server is one unit, so requests (8 bytes each) are picked up here. */
static int serve_rtu(const char *tty) {
    uint8_t query[8];
    int have = 0, got;
    modbus_t *ctx = modbus_new_rtu(tty, 19200, 'E', 8, 1);
    if (ctx == NULL || modbus_connect(ctx)) return perror(tty), 1;
    printf("READY 0\n");
    fflush(stdout);
    while ((got = read(modbus_get_socket(ctx), query + have, sizeof query - have)) >= 0 || errno == EAGAIN) {
        if (got <= 0) {
            usleep(200);
            continue;
        }
        have += got;
        if (have < (int)sizeof query) continue;
        if (crc(query, 6) != (query[6] | query[7] << 8)) {
            memmove(query, query + 1, --have);
            continue;
        }
        have = 0;
        if (query[0] < 1 || query[0] > LAST_UNIT) continue;
        modbus_set_slave(ctx, query[0]);
        answer(ctx, query, sizeof query);
    }
    return 1;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc < 3) return fprintf(stderr, "server tcp PORT [delay_ms [connections]] | rtu TTY\n"), 2;
    delay_ms = argc > 3 ? atoi(argv[3]) : 0;
    most = argc > 4 ? atoi(argv[4]) : 0;
    fill();
    return strcmp(argv[1], "rtu") ? serve_tcp(atoi(argv[2])) : serve_rtu(argv[2]);
}
