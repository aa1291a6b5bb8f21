// SPDX-License-Identifier: MIT
// A test harness of one screen, so that the C++ tests need nothing from the network. GM_TEST
// registers a function; CHECK and friends report and go on, so that one run shows every failure.
// check_main.cpp runs all tests, or those whose names are given as arguments.
#pragma once

#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace gm::test {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registrar {
  Registrar(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline void fail(const char* file, int line, const std::string& what) {
  if (++failures() <= 20) std::printf("%s:%d: %s\n", file, line, what.c_str());
}

template <class A, class B>
void check_eq(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return;
  std::ostringstream out;
  out << text << ": " << a << " is not " << b;
  fail(file, line, out.str());
}

// What `run` throws must be an E whose message contains `fragment`.
template <class E, class F>
void check_throws(F&& run, const std::string& fragment, const char* file, int line) {
  try {
    run();
    fail(file, line, "no exception; expected one with '" + fragment + "'");
  } catch (const E& e) {
    if (std::string(e.what()).find(fragment) == std::string::npos)
      fail(file, line, "message without '" + fragment + "': " + e.what());
  } catch (const std::exception& e) {
    fail(file, line, std::string("another type of exception: ") + e.what());
  }
}

}  // namespace gm::test

#define GM_TEST(name)                                             \
  static void name();                                             \
  static const gm::test::Registrar name##_registrar(#name, name); \
  static void name()

#define CHECK(condition) \
  ((condition) ? static_cast<void>(0) : gm::test::fail(__FILE__, __LINE__, #condition))
#define CHECK_EQ(a, b) gm::test::check_eq((a), (b), #a, __FILE__, __LINE__)
#define CHECK_THROWS(Type, fragment, expression) \
  gm::test::check_throws<Type>([&] { expression; }, fragment, __FILE__, __LINE__)
