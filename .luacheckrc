std = "lua54"
files["spec"] = {std = "+busted"}
files["types"] = {ignore = {"2"}} -- declarations only: nothing is used
