/* replaced by the owner of base/ */ extern int base_json_unused; int base_json_unused;
