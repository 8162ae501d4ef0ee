/* What a node's directory remembers of its configuration: "key value" lines in the file `config`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_internal.h"
#include "p2ps.h"

int memory_set(char **field, const char *value)
{
	char *copy = value ? strdup(value) : NULL;
	if (!value)
		return 0;
	if (!copy)
		return P2PS_ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

void memory_clear(struct host_memory *m)
{
	free(m->zone);
	free(m->listen);
	free(m->advertise);
	free(m->relay);
	free(m->portmap);
	*m = (struct host_memory){0};
}

static int take_line(struct host_memory *m, char *line)
{
	char *value = strchr(line, ' ');
	if (!value)
		return 0;
	*value++ = 0;
	if (strcmp(line, "id") == 0)
		m->id = strtoull(value, NULL, 10);
	else if (strcmp(line, "port") == 0)
		m->port = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(line, "zone") == 0)
		return memory_set(&m->zone, value);
	else if (strcmp(line, "listen") == 0)
		return memory_set(&m->listen, value);
	else if (strcmp(line, "advertise") == 0)
		return memory_set(&m->advertise, value);
	else if (strcmp(line, "relay") == 0)
		return memory_set(&m->relay, value);
	else if (strcmp(line, "portmap") == 0)
		return memory_set(&m->portmap, value);
	else if (strncmp(line, "limit.", 6) == 0) {
		int id = limit_find(line + 6, strlen(line + 6));
		uint64_t v = strtoull(value, NULL, 10);
		if (id >= 0 && limit_check(id, v, NULL, 0) == 0)
			m->limits[id] = v;
	}
	return 0; /* a later version's line */
}

int memory_load(struct dir *d, struct host_memory *m)
{
	uint8_t *data;
	size_t len;
	int err = dir_read(d, "config", &data, &len);
	if (err)
		return err == P2PS_ENOT_FOUND ? 0 : err;
	char *save = NULL;
	for (char *line = strtok_r((char *)data, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save))
		err = take_line(m, line);
	free(data);
	return err;
}

int memory_save(struct dir *d, const struct host_memory *m)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return P2PS_ENOMEM;
	fprintf(f, "id %" PRIu64 "\nport %u\n", m->id, m->port);
	if (m->zone && *m->zone)
		fprintf(f, "zone %s\n", m->zone);
	if (m->listen && *m->listen)
		fprintf(f, "listen %s\n", m->listen);
	if (m->advertise && *m->advertise)
		fprintf(f, "advertise %s\n", m->advertise);
	for (int i = 0; i < LIMITS; i++)
		if (m->limits[i])
			fprintf(f, "limit.%s %" PRIu64 "\n", limit_rows[i].name, m->limits[i]);
	if (m->relay && *m->relay)
		fprintf(f, "relay %s\n", m->relay);
	if (m->portmap && *m->portmap)
		fprintf(f, "portmap %s\n", m->portmap);
	if (fclose(f) != 0) {
		free(text);
		return P2PS_ENOMEM;
	}
	int err = dir_write(d, "config", text, len);
	free(text);
	return err;
}
