/* How large the structs are, for callers that do not come from a C compiler. */
#include "cordon_sg.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} structs[] = {
    {"cordon_model_config", sizeof(struct cordon_model_config)},
    {"cordon_model_request", sizeof(struct cordon_model_request)},
    {"cordon_model_target", sizeof(struct cordon_model_target)},
    {"cordon_model_stats", sizeof(struct cordon_model_stats)},
    {"cordon_sg_descriptor", sizeof(struct cordon_sg_descriptor)},
    {"cordon_sg_config", sizeof(struct cordon_sg_config)},
};

uint32_t cordon_model_size_of(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof(structs) / sizeof(structs[0]); i++) {
        if (strcmp(structs[i].name, name) == 0) {
            return (uint32_t)structs[i].size;
        }
    }
    return 0;
}
