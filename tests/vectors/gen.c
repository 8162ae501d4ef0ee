/* Writes the test vectors into a directory: gen DIR */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/vectors/vectors.h"

int main(int argc, char **argv)
{
	if (argc != 2 || sodium_init() < 0)
		return 2;
	pool_init(&vectors_pool, 0);
	for (const struct vectors_file *f = vectors_files; f->name; f++) {
		char path[512], *text = vectors_text(f);
		snprintf(path, sizeof path, "%s/%s.json", argv[1], f->name);
		FILE *out = fopen(path, "w");
		if (!out || fprintf(out, "%s\n", text) < 0 || fclose(out)) {
			perror(path);
			return 1;
		}
		free(text);
	}
	return 0;
}
