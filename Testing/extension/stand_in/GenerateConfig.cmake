# The catalogue's description of the extension, from the variables of its CMakeLists.txt.
set(_lines)
foreach(_name NAME HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${_name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${_name} is mandatory")
  endif()
  string(APPEND _lines "${_name} ${EXTENSION_${_name}}\n")
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/description.txt" "${_lines}")
