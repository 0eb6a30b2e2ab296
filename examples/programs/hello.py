import platform
print("hello from", platform.python_implementation(), platform.python_version())
print("6 * 7 =", 6 * 7)
