# The macros that a scripted module calls, and the folders that Slicer 5.12 gives them.
if(NOT DEFINED EXTENSION_NAME)
  set(EXTENSION_NAME ${PROJECT_NAME})
endif()
set(Slicer_USE_PYTHONQT ON)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR ${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# One rule for each copied file. CTK appends ".py" to every script whose extension does not hold
# "py"; whether such a file is there is found out by the build tool only.
function(_copy_one_file name destination copies)
  set(target "${destination}/${name}")
  add_custom_command(
    OUTPUT "${target}"
    COMMAND ${CMAKE_COMMAND} -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${name}" "${target}"
    DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}"
    )
  set(${copies} ${${copies}} "${target}" PARENT_SCOPE)
endfunction()

macro(ctkMacroCompilePythonScript)
  cmake_parse_arguments(
    _ctk "NO_INSTALL_SUBDIR" "TARGET_NAME;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${ARGN}
    )
  set(_script_copies)
  foreach(_script IN LISTS _ctk_SCRIPTS)
    get_filename_component(_extension "${_script}" EXT)
    if(NOT "${_extension}" MATCHES "py")
      set(_script "${_script}.py")
    endif()
    _copy_one_file("${_script}" "${_ctk_DESTINATION_DIR}" _script_copies)
  endforeach()
  set(_resource_copies)
  foreach(_resource IN LISTS _ctk_RESOURCES)
    _copy_one_file("${_resource}" "${_ctk_DESTINATION_DIR}" _resource_copies)
  endforeach()
  add_custom_target(Copy${_ctk_TARGET_NAME}PythonScriptFiles ALL DEPENDS ${_script_copies})
  if(_resource_copies)
    add_custom_target(Copy${_ctk_TARGET_NAME}PythonResourceFiles ALL DEPENDS ${_resource_copies})
  endif()
  add_custom_command(
    OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/compiled"
    COMMAND ${Python3_EXECUTABLE} -m compileall -q "${_ctk_DESTINATION_DIR}"
    COMMAND ${CMAKE_COMMAND} -E touch "${CMAKE_CURRENT_BINARY_DIR}/compiled"
    DEPENDS ${_script_copies}
    )
  add_custom_target(
    Compile${_ctk_TARGET_NAME}PythonFiles ALL DEPENDS "${CMAKE_CURRENT_BINARY_DIR}/compiled"
    )
  install(
    DIRECTORY "${_ctk_DESTINATION_DIR}/"
    DESTINATION "${_ctk_INSTALL_DIR}" COMPONENT RuntimeLibraries
    USE_SOURCE_PERMISSIONS
    )
endmacro()

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(
    _module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN}
    )
  if(_module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: unknown ${_module_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT _module_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: NAME is mandatory")
  endif()
  # As in Slicer, "name" and "name.py" both count as present here, for either list.
  foreach(_file IN LISTS _module_SCRIPTS _module_RESOURCES)
    set(_path "${CMAKE_CURRENT_SOURCE_DIR}/${_file}")
    if(NOT EXISTS "${_path}" AND NOT EXISTS "${_path}.py")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule: '${_file}' is absent")
    endif()
  endforeach()
  ctkMacroCompilePythonScript(
    TARGET_NAME ${_module_NAME}
    SCRIPTS ${_module_SCRIPTS}
    RESOURCES ${_module_RESOURCES}
    DESTINATION_DIR "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}"
    INSTALL_DIR "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}"
    NO_INSTALL_SUBDIR
    )
endmacro()

# Slicer runs these within its application. Here only the script has to be there.
macro(slicer_add_python_test)
  cmake_parse_arguments(_test "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS;SCRIPT_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_test_SCRIPT}")
    message(FATAL_ERROR "The test '${_test_SCRIPT}' is absent")
  endif()
  message(STATUS "Python test: ${_test_SCRIPT}")
endmacro()

macro(slicer_add_python_unittest)
  slicer_add_python_test(${ARGN})
endmacro()
